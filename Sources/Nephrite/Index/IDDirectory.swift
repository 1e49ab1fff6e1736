/// The id directory: from an id's hash to the slots that may hold it. Open addressing with linear probing; it doubles
/// at 75 % load and moves its buckets a few at a time, so that no insert pays for the whole table.
///
/// A bucket is a hint: whoever looks an id up checks the slot's entry and compares the id's bytes. That is what makes
/// growing simple: buckets left behind in the smaller table do no harm, because a slot that is active and holds an
/// equal id is the record, whichever table led to it.
import CNephrite
import StorageFormat

struct IDDirectory: Sendable {
    static let minimumBucketCount = FormatLimits.bucketsPerPage
    private static let bucketsMovedPerInsert = 8

    private(set) var pages: PagedTable
    private(set) var bucketCount: Int
    /// Buckets in use in `pages`, including those not yet moved from the smaller table.
    private(set) var count: Int

    /// The smaller table while its buckets are being moved, and how many of them have been.
    private var previous: PagedTable?
    private var previousBucketCount = 0
    private var movedCount = 0
    /// Whether a bucket of the smaller table may lead to a slot that is dead or found through the larger one already.
    private var hasStaleBuckets = false
    /// The table that was shared before `pages` was, and what it lacks; nil while the directory grows.
    private var twin: DirectoryTwin?

    init(bucketCount: Int = minimumBucketCount, epoch: UInt64) {
        precondition(bucketCount.nonzeroBitCount == 1 && bucketCount >= Self.minimumBucketCount)
        self.bucketCount = bucketCount
        pages = PagedTable(pageCount: bucketCount / FormatLimits.bucketsPerPage, epoch: epoch)
        count = 0
    }

    /// A directory whose pages were read from disk.
    init(pages: PagedTable, bucketCount: Int, count: Int) {
        self.pages = pages
        self.bucketCount = bucketCount
        self.count = count
    }

    /// Whether all buckets are in one table, as a checkpoint needs them.
    var isSettled: Bool { previous == nil }

    /// Whether the load is above 75 %.
    private var isFull: Bool { count * 4 > bucketCount * 3 }

    /// Whether as many buckets are in use as there are records; pages from disk that say otherwise are not used.
    var isPlausible: Bool {
        var used = 0
        for index in 0..<bucketCount where Self.bucket(at: index, in: pages).slotPlusOne != 0 { used += 1 }
        return used == count && used < bucketCount
    }

    // MARK: Finding

    /// The first slot for `hash` that `matches` accepts.
    @inline(__always)
    func find(hash: UInt64, matches: (UInt32) -> Bool) -> UInt32? {
        if let slot = Self.find(hash: hash, in: pages, bucketCount: bucketCount, matches: matches) { return slot }
        guard let previous else { return nil }
        return Self.find(hash: hash, in: previous, bucketCount: previousBucketCount, matches: matches)
    }

    @inline(__always)
    private static func find(
        hash: UInt64, in pages: PagedTable, bucketCount: Int, matches: (UInt32) -> Bool
    ) -> UInt32? {
        let fragment = UInt32(truncatingIfNeeded: hash &>> 32)
        var index = home(fragment, bucketCount)
        for _ in 0..<bucketCount {
            let bucket = bucket(at: index, in: pages)
            if bucket.slotPlusOne == 0 { return nil }
            if bucket.fragment == fragment, matches(bucket.slotPlusOne &- 1) { return bucket.slotPlusOne &- 1 }
            index = (index &+ 1) & (bucketCount &- 1)
        }
        return nil
    }

    @inline(__always)
    private static func home(_ fragment: UInt32, _ bucketCount: Int) -> Int {
        Int(truncatingIfNeeded: (UInt64(fragment) &* UInt64(bucketCount)) &>> 32)
    }

    @inline(__always)
    private static func bucket(at index: Int, in pages: PagedTable) -> DirectoryBucket {
        let page = unsafe pages.address(ofPage: index &>> 9)
        return unsafe page.load(fromByteOffset: (index & 511) &* 8, as: DirectoryBucket.self)
    }

    private mutating func setBucket(_ bucket: DirectoryBucket, at index: Int, epoch: UInt64) {
        Self.write(bucket, at: index, in: &pages, epoch: epoch)
        twin?.note(bucket, at: index)
    }

    @inline(__always)
    private static func write(_ bucket: DirectoryBucket, at index: Int, in pages: inout PagedTable, epoch: UInt64) {
        let page = unsafe pages.mutablePage(index >> 9, epoch: epoch)
        unsafe page.bytes.storeBytes(of: bucket, toByteOffset: (index & 511) * 8, as: DirectoryBucket.self)
    }

    /// Brings the bucket where a hash would be found close; for loops over many ids.
    @inline(__always)
    func prefetch(hash: UInt64) {
        let index = Self.home(UInt32(truncatingIfNeeded: hash &>> 32), bucketCount)
        unsafe nephrite_prefetch(pages.address(ofPage: index &>> 9) + (index & 511) &* 8)
    }

    // MARK: Changing

    /// Adds a slot for a hash that it is not there for yet; grows when that makes the table too full and it may grow.
    ///
    /// The slot is active already. Buckets are moved only after it has its own, or one that an earlier record of the slot
    /// left behind in the smaller table would be taken for it.
    mutating func insert(
        hash: UInt64, slot: UInt32, epoch: UInt64, mayGrow: Bool, records: RecordTable
    ) {
        precondition(count + 1 < bucketCount, "staging let an insert through that the directory has no room for")
        place(DirectoryBucket(slotPlusOne: slot + 1, fragment: UInt32(truncatingIfNeeded: hash >> 32)), epoch: epoch)
        count += 1
        if previous != nil { move(Self.bucketsMovedPerInsert, epoch: epoch, records: records) }
        if isFull, mayGrow { grow(epoch: epoch, records: records) }
    }

    /// Points the bucket of an id from the slot it had to the slot it has now.
    mutating func replace(hash: UInt64, oldSlot: UInt32, newSlot: UInt32, epoch: UInt64) {
        hasStaleBuckets = hasStaleBuckets || previous != nil
        let fragment = UInt32(truncatingIfNeeded: hash >> 32)
        let bucket = DirectoryBucket(slotPlusOne: newSlot + 1, fragment: fragment)
        if let index = index(of: oldSlot, fragment: fragment) {
            setBucket(bucket, at: index, epoch: epoch)
        } else {
            // It still stands in the smaller table, where it stays behind as a hint to a dead slot.
            place(bucket, epoch: epoch)
        }
    }

    /// Removes an id's bucket by moving the rest of its run back; there are no tombstones.
    mutating func remove(hash: UInt64, slot: UInt32, epoch: UInt64) {
        hasStaleBuckets = hasStaleBuckets || previous != nil
        count -= 1
        guard var hole = index(of: slot, fragment: UInt32(truncatingIfNeeded: hash >> 32)) else { return }
        let mask = bucketCount - 1
        var next = (hole + 1) & mask
        while true {
            let bucket = Self.bucket(at: next, in: pages)
            if bucket.slotPlusOne == 0 { break }
            let home = Self.home(bucket.fragment, bucketCount)
            // The bucket may move into the hole unless its home lies between the hole and where it stands.
            if (next - home) & mask >= (next - hole) & mask {
                setBucket(bucket, at: hole, epoch: epoch)
                hole = next
            }
            next = (next + 1) & mask
        }
        setBucket(.empty, at: hole, epoch: epoch)
    }

    private func index(of slot: UInt32, fragment: UInt32) -> Int? {
        var index = Self.home(fragment, bucketCount)
        for _ in 0..<bucketCount {
            let bucket = Self.bucket(at: index, in: pages)
            if bucket.slotPlusOne == 0 { return nil }
            if bucket.slotPlusOne == slot + 1, bucket.fragment == fragment { return index }
            index = (index + 1) & (bucketCount - 1)
        }
        return nil
    }

    private mutating func place(_ bucket: DirectoryBucket, epoch: UInt64) {
        var index = Self.home(bucket.fragment, bucketCount)
        while Self.bucket(at: index, in: pages).slotPlusOne != 0 { index = (index + 1) & (bucketCount - 1) }
        setBucket(bucket, at: index, epoch: epoch)
    }

    // MARK: Sharing

    /// The directory as snapshots and checkpoints hold it.
    var shared: IDDirectory {
        var copy = self
        copy.twin = nil
        return copy
    }

    /// To be called before the changes that follow ``shared``: ids are hashed, so nearly each of them would copy a page.
    ///
    /// Instead, if nobody holds the table any more that was shared before this one, it gets the few buckets that it
    /// lacks and takes over; what was shared last is then brought up to date the next time.
    mutating func prepareToChange(epoch: UInt64) {
        guard previous == nil else {
            twin = nil
            return
        }
        guard twin?.isFree() == true, var next = twin else {
            twin = DirectoryTwin(pages: pages)
            return
        }
        // Not referenced from two places, or its pages would be copied after all.
        twin = nil
        next.catchUp { bucket, index, pages in Self.write(bucket, at: index, in: &pages, epoch: epoch) }
        swap(&next.pages, &pages)
        twin = next
    }

    // MARK: Growing

    /// Doubles the table; the buckets of the old one are moved by the inserts that follow.
    private mutating func grow(epoch: UInt64, records: RecordTable) {
        move(.max, epoch: epoch, records: records)
        twin = nil
        previous = pages
        previousBucketCount = bucketCount
        movedCount = 0
        hasStaleBuckets = false
        bucketCount *= 2
        pages = PagedTable(pageCount: bucketCount / FormatLimits.bucketsPerPage, epoch: epoch, pool: pages.pool)
    }

    /// Moves the next buckets of the smaller table whose slots are still live.
    mutating func move(_ budget: Int, epoch: UInt64, records: RecordTable) {
        guard let source = previous else { return }
        let end = min(previousBucketCount, movedCount + min(budget, previousBucketCount))
        while movedCount < end {
            let bucket = Self.bucket(at: movedCount, in: source)
            movedCount += 1
            guard bucket.slotPlusOne != 0 else { continue }
            if hasStaleBuckets {
                guard records.isLive(bucket.slotPlusOne - 1, fragment: bucket.fragment),
                    index(of: bucket.slotPlusOne - 1, fragment: bucket.fragment) == nil
                else { continue }
            }
            place(bucket, epoch: epoch)
        }
        if movedCount == previousBucketCount { previous = nil }
    }
}
