// The id directory against a dictionary, with hashes at random and hashes an adversary would choose, while it grows.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

/// How the hashes of a test's ids are made: at random, or as an adversary would.
enum HashShape: String, CaseIterable, Sendable {
    case random
    /// All ids share the fragment, the low halves differ.
    case equalTopHalves
    /// All ids share the whole hash; only their bytes tell them apart.
    case equalHashes
    /// Many ids on each of a few hashes.
    case fewHashes
    /// All homes lie at the table's end, so that runs wrap around.
    case lastHomes

    func hash(_ number: Int) -> UInt64 {
        let mixed = (UInt64(number) &+ 1) &* 0x9E37_79B9_7F4A_7C15
        switch self {
        case .random: return mixed ^ (mixed >> 29)
        case .equalTopHalves: return 0xABCD_EF01_0000_0000 | (mixed >> 32)
        case .equalHashes: return 0x0123_4567_89AB_CDEF
        case .fewHashes: return UInt64(number % 5) &* 0x3333_3333_3333_3333
        case .lastHomes: return 0xFFFF_FFFF_0000_0000 &- (UInt64(number % 7) << 32) | (mixed >> 40)
        }
    }
}

/// A directory with the record table that its hints lead to, changed as commits change them. An id is a number, kept in
/// the entry in the place of its bytes.
private struct DirectoryModel {
    let shape: HashShape
    var records = RecordTable(epoch: 1)
    var directory = IDDirectory(epoch: 1)
    var slots = SlotAllocator()
    /// From id to slot: what must be found.
    var model: [Int: UInt32] = [:]

    init(_ shape: HashShape) { self.shape = shape }

    private func entry(_ id: Int, _ flags: RecordEntry.Flags) -> RecordEntry {
        RecordEntry(
            idHash: shape.hash(id), payloadUnit: UInt32(id), payloadLength: 8, flags: flags, lsn: 1, tag: 0, idLength: 8
        )
    }

    mutating func store(_ id: Int, mayGrow: Bool = true, epoch: UInt64 = 2) {
        let slot = slots.allocate()
        if let old = model[id] { _ = records.set(entry(id, .deleted), at: Int(old), epoch: epoch) }
        _ = records.set(entry(id, .active), at: Int(slot), epoch: epoch)
        if let old = model[id] {
            directory.replace(hash: shape.hash(id), oldSlot: old, newSlot: slot, epoch: epoch)
            // At once: an adversary's reuse, so that stale hints lead to slots that live again.
            slots.release(old)
        } else {
            directory.insert(hash: shape.hash(id), slot: slot, epoch: epoch, mayGrow: mayGrow, records: records)
        }
        model[id] = slot
    }

    mutating func delete(_ id: Int, epoch: UInt64 = 2) {
        guard let slot = model.removeValue(forKey: id) else { return }
        _ = records.set(entry(id, .deleted), at: Int(slot), epoch: epoch)
        directory.remove(hash: shape.hash(id), slot: slot, epoch: epoch)
        slots.release(slot)
    }

    func find(_ id: Int) -> UInt32? {
        directory.find(hash: shape.hash(id)) { slot in
            let entry = records[Int(slot)]
            return entry.isActive && entry.idHash == shape.hash(id) && entry.payloadUnit == UInt32(id)
        }
    }

    func check(idsUpTo limit: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(directory.count == model.count, sourceLocation: sourceLocation)
        var wrong = 0
        for id in 0..<limit where find(id) != model[id] { wrong += 1 }
        #expect(wrong == 0, "ids that are found wrongly", sourceLocation: sourceLocation)
    }

    /// Each id has exactly one bucket once all have been moved.
    func checkSettled(sourceLocation: SourceLocation = #_sourceLocation) {
        var settled = self
        settled.directory.move(.max, epoch: 9, records: records)
        #expect(settled.directory.isSettled, sourceLocation: sourceLocation)
        #expect(settled.directory.isPlausible, "buckets in use ≠ ids", sourceLocation: sourceLocation)
    }
}

@Suite struct IDDirectoryTests {
    @Test(
        "Random inserts, replacements, removals and snapshots agree with a dictionary", arguments: HashShape.allCases,
        0..<3 as Range<UInt64>)
    func model(_ shape: HashShape, _ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var subject = DirectoryModel(shape)
        var snapshots: [DirectoryModel] = []
        let limit = shape == .random ? 4_000 : 800
        for step in 0..<(shape == .random ? 12_000 : 2_400) {
            let id = random.next(below: limit)
            // Phases that grow and phases that shrink.
            if random.chance(step / 800 % 2 == 0 ? 0.15 : 0.6) { subject.delete(id) } else { subject.store(id) }
            #expect(subject.directory.count * 4 <= subject.directory.bucketCount * 3)
            if !subject.directory.isSettled, snapshots.count < 6, random.chance(0.05) { snapshots.append(subject) }
        }
        subject.check(idsUpTo: limit)
        subject.checkSettled()
        #expect(!snapshots.isEmpty)
        // Taken in the middle of a move, and what they hold is what they held.
        for snapshot in snapshots {
            #expect(!snapshot.directory.isSettled)
            snapshot.check(idsUpTo: limit)
            snapshot.checkSettled()
        }
    }

    @Test("Every id is found at every step of a growth", arguments: HashShape.allCases)
    func growth(_ shape: HashShape) {
        var subject = DirectoryModel(shape)
        // 384 ids fill 512 buckets to 75 %; the one after that doubles the table.
        for id in 0..<384 { subject.store(id) }
        #expect(subject.directory.bucketCount == 512 && subject.directory.isSettled)
        subject.store(384)
        #expect(subject.directory.bucketCount == 1_024 && !subject.directory.isSettled)
        var next = 385
        while !subject.directory.isSettled {
            if next % 8 == 0 { subject.check(idsUpTo: next + 1) }
            subject.store(next)
            next += 1
        }
        #expect(next < 384 + 100, "moving is done long before the next growth")
        subject.check(idsUpTo: next + 10)
        subject.checkSettled()
    }

    @Test("Removing and replacing ids that have not been moved yet", arguments: HashShape.allCases)
    func staleHints(_ shape: HashShape) {
        var subject = DirectoryModel(shape)
        for id in 0..<385 { subject.store(id) }
        #expect(!subject.directory.isSettled)
        let before = subject
        for id in 0..<385 where id % 3 == 0 { subject.delete(id) }
        for id in 0..<385 where id % 3 == 1 { subject.store(id) }
        subject.check(idsUpTo: 500)
        subject.checkSettled()
        for id in 400..<500 { subject.store(id) }
        subject.check(idsUpTo: 500)
        subject.checkSettled()
        before.check(idsUpTo: 500)
    }

    @Test("An id that comes back to its old slot while buckets are moved has one bucket", arguments: HashShape.allCases)
    func sameSlotAgain(_ shape: HashShape) {
        // Deleted before its bucket was moved, and inserted again into the very slot it had: the bucket left behind in
        // the smaller table looked alive again and was moved too. The id had two buckets, the directory counted one: a
        // checkpoint of it was taken for damaged at the next open.
        var subject = DirectoryModel(shape)
        for id in 0..<385 { subject.store(id) }
        for id in 0..<385 {
            let slot = subject.model[id]
            subject.delete(id)
            subject.store(id)
            #expect(subject.model[id] == slot)
        }
        subject.check(idsUpTo: 400)
        subject.checkSettled()
    }

    @Test(
        "A table that may not grow fills up to 90 % and still finds, misses and removes", arguments: HashShape.allCases)
    func fullTable(_ shape: HashShape) {
        var subject = DirectoryModel(shape)
        for id in 0..<460 { subject.store(id, mayGrow: false) }
        #expect(subject.directory.bucketCount == 512)
        subject.check(idsUpTo: 600)
        for id in 0..<230 { subject.delete(id * 2) }
        subject.check(idsUpTo: 600)
        subject.checkSettled()
        // Once there is room it grows.
        for id in 600..<1_000 { subject.store(id) }
        #expect(subject.directory.bucketCount == 1_024)
        subject.check(idsUpTo: 1_000)
    }

    @Test("Equal hashes are told apart by what the caller compares, and a miss ends", arguments: [1, 2, 300])
    func collisions(_ count: Int) {
        var subject = DirectoryModel(.equalHashes)
        for id in 0..<count { subject.store(id) }
        subject.check(idsUpTo: count + 1)
        var asked = 0
        let found = subject.directory.find(hash: HashShape.equalHashes.hash(0)) { _ in
            asked += 1
            return false
        }
        #expect(found == nil && asked == count)
    }

    @Test("A snapshot shares the pages that later writes do not touch")
    func sharedPages() {
        var subject = DirectoryModel(.random)
        for id in 0..<3_000 { subject.store(id) }
        while !subject.directory.isSettled { subject.store(subject.model.count) }
        let snapshot = subject
        subject.store(0)
        let pages = subject.directory.pages
        let copied = (0..<pages.pageCount).filter { pages.page($0) !== snapshot.directory.pages.page($0) }
        #expect(copied.count == 1)
        snapshot.check(idsUpTo: 3_500)
    }

    @Test(
        "Snapshots of every commit stay what they were while the two tables take turns",
        arguments: 0..<4 as Range<UInt64>)
    func twins(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var subject = DirectoryModel(.random)
        var held: [DirectoryModel] = []
        for commit in 0..<400 {
            subject.directory.prepareToChange(epoch: UInt64(commit))
            for _ in 0..<1 + random.next(below: 30) {
                let id = random.next(below: 3_000)
                if random.chance(0.3) {
                    subject.delete(id, epoch: UInt64(commit))
                } else {
                    subject.store(id, epoch: UInt64(commit))
                }
            }
            var published = subject
            published.directory = subject.directory.shared
            held.append(published)
            // Readers let go of what they hold at once, later, or much later.
            while held.count > 1, random.chance(0.7) {
                held.remove(at: random.next(below: held.count)).check(idsUpTo: 3_000)
            }
            if commit % 20 == 0 { subject.check(idsUpTo: 3_000) }
        }
        subject.checkSettled()
        for snapshot in held { snapshot.check(idsUpTo: 3_000) }
    }

    @Test(
        "Without a reader of an older state a commit copies no page that an earlier one has copied",
        arguments: [true, false])
    func tablesTakeTurns(_ isHeld: Bool) {
        var subject = DirectoryModel(.random)
        for id in 0..<3_000 { subject.store(id) }
        while !subject.directory.isSettled { subject.store(subject.model.count) }
        var seen: Set<UnsafeRawPointer> = unsafe []
        var copies = 0
        var old: [IDDirectory] = []
        for commit in 0..<10 {
            subject.directory.prepareToChange(epoch: 3)
            // The same buckets each time, in as many pages as there are.
            for id in 0..<200 { subject.store(id, epoch: 3) }
            let pages = subject.directory.pages
            for index in 0..<pages.pageCount
            where unsafe seen.insert(pages.address(ofPage: index)).inserted && commit > 2 { copies += 1 }
            if isHeld { old.append(subject.directory.shared) }
        }
        #expect(isHeld ? copies > 20 : copies == 0)
        subject.check(idsUpTo: 3_500)
        subject.checkSettled()
    }

    @Test(
        "A checkpoint that writes pages by their epoch has the buckets of both tables",
        arguments: 0..<4 as Range<UInt64>)
    func epochsOfTwins(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var subject = DirectoryModel(.random)
        for id in 0..<3_000 { subject.store(id, epoch: 1) }
        while !subject.directory.isSettled { subject.store(subject.model.count, epoch: 1) }
        let pageCount = subject.directory.pages.pageCount
        // Two regions, as in the file: the pages, and the epoch through which they are current.
        var regions = [[[UInt8]]](repeating: .init(repeating: [], count: pageCount), count: 2)
        var current: [UInt64] = [0, 0]
        var epoch: UInt64 = 2
        for commit in 0..<300 {
            subject.directory.prepareToChange(epoch: epoch)
            for _ in 0..<random.next(below: 4) { subject.store(random.next(below: 3_000), epoch: epoch) }
            guard random.chance(0.3) else { continue }
            let pages = subject.directory.shared.pages
            let region = Int(epoch % 2)
            var stale = 0
            for index in 0..<pageCount {
                let page = pages.page(index)
                let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: page.bytes, count: IndexPage.byteCount))
                if page.epoch > current[region] { regions[region][index] = bytes }
                if regions[region][index] != bytes { stale += 1 }
            }
            #expect(stale == 0, "pages missing in the checkpoint after commit \(commit)")
            current[region] = epoch
            epoch += 1
        }
    }

    @Test("A directory whose pages hold more or fewer buckets than it counts is not plausible")
    func plausibility() {
        var subject = DirectoryModel(.random)
        for id in 0..<100 { subject.store(id) }
        let pages = subject.directory.pages
        #expect(IDDirectory(pages: pages, bucketCount: 512, count: 100).isPlausible)
        #expect(!IDDirectory(pages: pages, bucketCount: 512, count: 99).isPlausible)
        #expect(!IDDirectory(pages: pages, bucketCount: 512, count: 101).isPlausible)
    }
}
