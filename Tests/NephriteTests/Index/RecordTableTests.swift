// The record table against a dictionary from slot to entry.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct RecordTableTests {
    private static func entry(_ number: Int, _ flags: RecordEntry.Flags) -> RecordEntry {
        RecordEntry(
            idHash: UInt64(number) &* 0x9E37_79B9_7F4A_7C15, payloadUnit: UInt32(number), payloadLength: number % 1_000,
            flags: flags, lsn: UInt64(number), tag: UInt32(number ^ 77), idLength: number % 512)
    }

    private static func active(_ table: RecordTable) -> [Int: RecordEntry] {
        var found: [Int: RecordEntry] = [:]
        var last = -1
        table.forEachActive { slot, entry in
            #expect(slot > last)
            last = slot
            found[slot] = entry
        }
        return found
    }

    @Test("Random entries, deletions and snapshots agree with a dictionary", arguments: 0..<6 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = RecordTable(epoch: 1)
        var model: [Int: RecordEntry] = [:]
        var snapshots: [(RecordTable, [Int: RecordEntry])] = []
        var slots = 0
        for step in 1...3_000 {
            let slot = random.next(below: 1_200)
            let flags: RecordEntry.Flags = random.chance(0.3) ? .deleted : .active
            let old = table.set(Self.entry(step, flags), at: slot, epoch: 2)
            #expect(old == model[slot] ?? .empty)
            model[slot] = Self.entry(step, flags)
            slots = max(slots, slot + 1)
            if step % 500 == 0 { snapshots.append((table, model)) }
        }
        #expect(table.slotCount == slots)
        snapshots.append((table, model))
        for (table, model) in snapshots {
            for slot in 0..<1_300 { #expect(table[slot] == model[slot] ?? .empty) }
            #expect(Self.active(table) == model.filter(\.value.isActive))
            for page in 0..<table.pages.pageCount {
                let expected = (0..<128).filter { model[page * 128 + $0]?.isActive == true }
                #expect(table.pages.page(page).activeCount == expected.count)
                var noted: [Int] = []
                table.liveBits(ofPage: page).forEach { noted.append($0) }
                #expect(noted == expected)
                let words = table.liveWords(ofPage: page)
                #expect(PageBits(low: words.low, high: words.high) == table.liveBits(ofPage: page))
            }
        }
    }

    @Test("A slot counts as live only while it is active with that very fragment")
    func liveness() {
        var table = RecordTable(epoch: 1)
        let entry = Self.entry(5, .active)
        _ = table.set(entry, at: 300, epoch: 1)
        let fragment = DirectoryBucket.fragment(of: entry.idHash)
        #expect(table.isLive(300, fragment: fragment))
        #expect(!table.isLive(300, fragment: fragment ^ 1))
        #expect(!table.isLive(299, fragment: 0))
        #expect(!table.isLive(4_000_000_000, fragment: 0))
        _ = table.set(Self.entry(5, .deleted), at: 300, epoch: 1)
        #expect(!table.isLive(300, fragment: fragment))
    }

    @Test("Pages read from disk count their active entries")
    func pagesFromDisk() {
        var table = RecordTable(epoch: 1)
        for slot in 0..<300 { _ = table.set(Self.entry(slot, slot % 3 == 0 ? .deleted : .active), at: slot, epoch: 1) }
        var pages = PagedTable(epoch: 1)
        let run = unsafe pages.pool.takeRun(table.pages.pageCount)
        for index in 0..<table.pages.pageCount {
            unsafe run[index].bytes.copyMemory(from: table.pages.address(ofPage: index), byteCount: 4_096)
            pages.append(unsafe IndexPage(reading: run[index], epoch: 1, isRecords: true, pool: pages.pool))
        }
        let loaded = RecordTable(pages: pages, slotCount: 300)
        #expect(Self.active(loaded) == Self.active(table))
        for page in 0..<3 {
            #expect(loaded.liveBits(ofPage: page) == table.liveBits(ofPage: page))
            let expected = (0..<128).filter { page * 128 + $0 < 300 && (page * 128 + $0) % 3 != 0 }.count
            #expect(loaded.pages.page(page).activeCount == expected)
        }
        // Entries behind the last slot do not exist, whatever the page says.
        let shorter = RecordTable(pages: loaded.pages, slotCount: 270)
        #expect(shorter.liveBits(ofPage: 2) == loaded.liveBits(ofPage: 2).prefix(14))
        #expect(shorter.liveBits(ofPage: 2) != loaded.liveBits(ofPage: 2))
    }
}
