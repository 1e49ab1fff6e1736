/// The operations of a database that are staged but not yet applied, found by id. The database actor looks here before
/// it looks in the index, so that each write is judged by everything staged before it.
import CNephrite
import StorageFormat

struct PendingWrites {
    private struct Bucket {
        var hash: UInt64 = 0
        var serial: UInt32 = 0
        /// Index of the operation in its batch plus one; 0 marks an empty bucket.
        var operationPlusOne: UInt32 = 0
    }

    /// Sixteen bytes each; a table of more is let go of when it is empty.
    static let keptBucketCount = 1 << 16

    /// How many buckets there are, for tests.
    var bucketCount: Int { buckets.count }

    private var buckets = [Bucket](repeating: Bucket(), count: 64)
    private var used = 0
    /// Batches by serial number, with the LSN of their commit, 0 while a transaction prepares.
    private var entries: [UInt32: (batch: OperationBatch, lsn: UInt64)] = [:]

    /// How many commits are pending.
    var commitCount: Int { entries.count }

    /// The newest pending operation on an id: its batch's serial and its index.
    func find(_ id: UnsafeRawBufferPointer, hash: UInt64) -> (serial: UInt32, index: Int)? {
        guard used > 0 else { return nil }
        return unsafe newestBucket(id, hash: hash).map {
            (buckets[$0].serial, Int(buckets[$0].operationPlusOne) - 1)
        }
    }

    /// Brings the bucket where an id would be found close; for loops over many ids.
    func prefetch(hash: UInt64) {
        let position = Int(truncatingIfNeeded: hash) & (buckets.count - 1)
        unsafe buckets.withUnsafeBufferPointer { unsafe nephrite_prefetch($0.baseAddress! + position) }
    }

    /// The operation at a place that ``find(_:hash:)`` gave.
    func operation(_ place: (serial: UInt32, index: Int)) -> BatchOperation {
        entries[place.serial]!.batch.operations[place.index]
    }

    /// The LSN of a pending commit, 0 while it is only prepared.
    func lsn(serial: UInt32) -> UInt64 { entries[serial]!.lsn }

    /// Notes the LSN that the queue gave a commit.
    mutating func setLSN(_ lsn: UInt64, serial: UInt32) { entries[serial]?.lsn = lsn }

    /// Makes a batch known before its operations are added.
    mutating func begin(_ batch: OperationBatch, serial: UInt32) {
        entries[serial] = (batch, 0)
        let needed = used + batch.operations.count
        if needed * 2 > buckets.count { rehash(toHold: needed) }
    }

    /// Adds an operation as the newest on its id; the batch has no other on it. Older ones stay below it, to be found
    /// again if this one is taken back.
    mutating func add(_ operation: BatchOperation, index: Int, serial: UInt32) {
        let mask = buckets.count - 1
        var position = Int(truncatingIfNeeded: operation.idHash) & mask
        while buckets[position].operationPlusOne != 0 { position = (position + 1) & mask }
        buckets[position] = Bucket(hash: operation.idHash, serial: serial, operationPlusOne: UInt32(index + 1))
        used += 1
    }

    /// Forgets a batch and its operations.
    mutating func remove(_ batch: OperationBatch, serial: UInt32, operationCount: Int? = nil) {
        defer { entries[serial] = nil }
        if entries.count == 1, buckets.count > Self.keptBucketCount {
            // What a large batch needed is not kept for small ones.
            buckets = [Bucket](repeating: Bucket(), count: 64)
            used = 0
            return
        }
        if entries.count == 1, used * 4 > buckets.count {
            // All that is pending goes: quicker at once than one by one.
            for position in buckets.indices { buckets[position] = Bucket() }
            used = 0
            return
        }
        let operations = batch.operations
        for index in 0..<(operationCount ?? operations.count) {
            if let position = bucket(hash: operations[index].idHash, serial: serial, index: index) {
                removeBucket(position)
            }
        }
    }

    /// The bucket of a known operation.
    private func bucket(hash: UInt64, serial: UInt32, index: Int) -> Int? {
        let mask = buckets.count - 1
        var position = Int(truncatingIfNeeded: hash) & mask
        while buckets[position].operationPlusOne != 0 {
            if buckets[position].serial == serial, buckets[position].operationPlusOne == UInt32(index + 1) {
                return position
            }
            position = (position + 1) & mask
        }
        return nil
    }

    /// The bucket of an id's operation in the newest batch that has one.
    private func newestBucket(_ id: UnsafeRawBufferPointer, hash: UInt64) -> Int? {
        let mask = buckets.count - 1
        var position = Int(truncatingIfNeeded: hash) & mask
        var newest: Int?
        while buckets[position].operationPlusOne != 0 {
            let bucket = buckets[position]
            if bucket.hash == hash {
                let batch = entries[bucket.serial]!.batch
                let other = unsafe batch.id(batch.operations[Int(bucket.operationPlusOne) - 1])
                if unsafe other.elementsEqual(id) {
                    // Serial numbers wrap around.
                    if newest.map({ Int32(bitPattern: bucket.serial &- buckets[$0].serial) > 0 }) ?? true {
                        newest = position
                    }
                }
            }
            position = (position + 1) & mask
        }
        return newest
    }

    private mutating func removeBucket(_ position: Int) {
        let mask = buckets.count - 1
        var hole = position
        var next = (hole + 1) & mask
        while buckets[next].operationPlusOne != 0 {
            let home = Int(truncatingIfNeeded: buckets[next].hash) & mask
            if (next - home) & mask >= (next - hole) & mask {
                buckets[hole] = buckets[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        buckets[hole] = Bucket()
        used -= 1
    }

    private mutating func rehash(toHold count: Int) {
        var size = 64
        while size < count * 2 { size *= 2 }
        let old = buckets
        buckets = [Bucket](repeating: Bucket(), count: size)
        let mask = size - 1
        for bucket in old where bucket.operationPlusOne != 0 {
            var position = Int(truncatingIfNeeded: bucket.hash) & mask
            while buckets[position].operationPlusOne != 0 { position = (position + 1) & mask }
            buckets[position] = bucket
        }
    }
}
