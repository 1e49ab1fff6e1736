/// Point reads of a snapshot: what callers ask by id, answered from mapped memory.
import CNephrite
import StorageFormat

extension DatabaseSnapshot {
    /// The vector of a record, copied; nil if there is none.
    ///
    /// - Complexity: O(1) in the number of records.
    /// - Throws: `corruption` if the record's checksum does not match.
    public func vector(for id: String) throws(StoreError) -> [Float]? {
        try withFound(id) { (slot, entry) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            return vector(slot: slot)
        }
    }

    /// Copies the vector of a record to the front of `buffer`, which has at least the database's dimension.
    ///
    /// - Returns: whether the record is there; if not, the buffer is as it was.
    /// - Throws: `corruption`; `invalidArgument` if the buffer is too short.
    public func copyVector(for id: String, into buffer: inout [Float]) throws(StoreError) -> Bool {
        let dimension = identity.options.dimension
        guard buffer.count >= dimension else {
            throw .argument(
                "The buffer holds \(buffer.count) floats.", remedy: "Pass one of \(dimension) at least.",
                database: identity.name)
        }
        let found: Bool? = try withFound(id) { (slot, entry) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe bytes.baseAddress!.copyMemory(from: vectorAddress(slot), byteCount: dimension * 4)
            }
            return true
        }
        return found ?? false
    }

    /// Calls `body` with the vector of a record where it lies, in mapped memory, without a copy; nil if there is none.
    ///
    /// - Parameters:
    ///   - id: the record's id.
    ///   - body: gets as many floats as the database's dimension, which are valid until it returns.
    /// - Returns: what `body` returns.
    /// - Throws: `corruption`; what `body` throws.
    public func withVector<R>(for id: String, _ body: (Span<Float>) throws -> R) throws -> R? {
        let found: (UInt32, RecordEntry)? = try withFound(id) { (slot, entry) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            return (slot, entry)
        }
        guard let found else { return nil }
        let start = unsafe vectorAddress(found.0).assumingMemoryBound(to: Float.self)
        let vector = unsafe UnsafeBufferPointer(start: start, count: identity.options.dimension)
        return try withExtendedLifetime(self) { try body(unsafe Span(_unsafeElements: vector)) }
    }

    /// The record of an id; nil if there is none.
    ///
    /// - Throws: `corruption` if the record's checksum does not match.
    public func record(for id: String) throws(StoreError) -> VectorRecord? {
        try withFound(id) { (slot, entry) throws(StoreError) in try record(slot: slot, entry: entry, id: id) }
    }

    /// The vectors of several records in the order of `ids`, nil where there is none.
    ///
    /// - Throws: `corruption` if one of them is damaged.
    public func vectors(for ids: [String]) throws(StoreError) -> [[Float]?] {
        try batch(ids) { (slot, entry, _) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            return vector(slot: slot)
        }
    }

    /// The records of several ids in the order of `ids`, nil where there is none.
    ///
    /// - Throws: `corruption` if one of them is damaged; ``records(after:)`` gets at the others.
    public func records(for ids: [String]) throws(StoreError) -> [VectorRecord?] {
        try batch(ids) { (slot, entry, id) throws(StoreError) in
            try record(slot: slot, entry: entry, id: id)
        }
    }

    /// Looks several ids up, each step for all of them before the next, so that the cache misses of one overlap with
    /// those of the others.
    private func batch<R>(
        _ ids: [String], _ body: (UInt32, RecordEntry, String) throws(StoreError) -> R
    ) throws(StoreError) -> [R?] {
        var hashes: [UInt64] = []
        hashes.reserveCapacity(ids.count)
        for var id in ids {
            let hash = id.withUTF8 { unsafe IDHash.hash(UnsafeRawBufferPointer($0), key: identity.hashKey) }
            directory.prefetch(hash: hash)
            hashes.append(hash)
        }
        var slots: [UInt32?] = []
        slots.reserveCapacity(ids.count)
        for (index, var id) in ids.enumerated() {
            var suspect = BatchOperation.noSlot
            let slot = id.withUTF8 { bytes in
                bytes.isEmpty
                    ? nil : unsafe findSlot(UnsafeRawBufferPointer(bytes), hash: hashes[index], suspect: &suspect)
            }
            if slot == nil, suspect != BatchOperation.noSlot {
                try verify(slot: suspect, entry: records[Int(suspect)])
            }
            if let slot {
                for line in stride(from: 0, to: min(identity.vectorByteCount, 1_024), by: 64) {
                    unsafe nephrite_prefetch(vectorAddress(slot) + line)
                }
            }
            slots.append(slot)
        }
        var results: [R?] = []
        results.reserveCapacity(ids.count)
        for (index, slot) in slots.enumerated() {
            guard let slot else {
                results.append(nil)
                continue
            }
            results.append(try body(slot, records[Int(slot)], ids[index]))
        }
        return results
    }

    /// Whether a record of that id is there, be it damaged.
    public func contains(_ id: String) -> Bool {
        do {
            return try withFound(id) { _, _ in true } != nil
        } catch {
            // What is there and damaged is there.
            return true
        }
    }

    func record(slot: UInt32, entry: RecordEntry, id: String? = nil) throws(StoreError) -> VectorRecord {
        try verify(slot: slot, entry: entry)
        return VectorRecord(
            id: id ?? self.id(of: entry), vector: vector(slot: slot), metadata: metadata(of: entry),
            version: entry.lsn)
    }
}
