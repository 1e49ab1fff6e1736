// Copy-on-write pages against an array of arrays: what a snapshot sees never changes, and a write copies one page only.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct PagedTableTests {
    /// The table's bytes as a model sees them: the first word of each page.
    private static func words(_ table: PagedTable) -> [UInt64] {
        (0..<table.pageCount).map { unsafe table.address(ofPage: $0).load(as: UInt64.self) }
    }

    private static func write(_ word: UInt64, _ index: Int, _ table: inout PagedTable, epoch: UInt64 = 1) {
        let page = unsafe table.mutablePage(index, epoch: epoch)
        unsafe page.bytes.storeBytes(of: word, as: UInt64.self)
    }

    @Test("Random writes, appends and snapshots agree with an array", arguments: 0..<8 as Range<UInt64>)
    func model(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        // Beyond one chunk of 128 pages, and beyond the four chunks that the root has room for at first.
        let initial = [0, 1, 127, 128, 129, 640, 1_000, 3][Int(seed)]
        var table = PagedTable(pageCount: initial, epoch: 1)
        var model = [UInt64](repeating: 0, count: initial)
        var snapshots: [(PagedTable, [UInt64])] = []
        for step in 1...4_000 as ClosedRange<UInt64> {
            switch random.next(below: 20) {
            case 0 where model.count < 1_500:
                for _ in 0..<random.next(below: 40) {
                    table.appendZeros(epoch: 1)
                    model.append(0)
                }
            case 1: snapshots.append((table, model))
            case 2 where !snapshots.isEmpty: snapshots.remove(at: random.next(below: snapshots.count))
            default:
                guard !model.isEmpty else { continue }
                let index = random.next(below: model.count)
                Self.write(step, index, &table)
                model[index] = step
            }
        }
        #expect(Self.words(table) == model)
        for (snapshot, words) in snapshots { #expect(Self.words(snapshot) == words) }
    }

    @Test("A write copies the page it touches and shares all others with the snapshot")
    func onlyTouchedPagesAreCopied() {
        var table = PagedTable(pageCount: 600, epoch: 1)
        for index in 0..<600 { Self.write(UInt64(index), index, &table) }
        let snapshot = table
        let touched: Set = [0, 127, 128, 400, 599]
        for index in touched { Self.write(9, index, &table) }
        for index in 0..<600 {
            #expect((table.page(index) === snapshot.page(index)) == !touched.contains(index), "page \(index)")
        }
    }

    @Test("Without a snapshot a write happens in place, also after the last snapshot is gone")
    func inPlace() {
        var table = PagedTable(pageCount: 300, epoch: 1)
        for index in 0..<300 { Self.write(1, index, &table) }
        let address = unsafe table.address(ofPage: 200)
        Self.write(2, 200, &table)
        #expect(unsafe table.address(ofPage: 200) == address)
        do {
            let snapshot = table
            Self.write(3, 200, &table)
            #expect(unsafe snapshot.address(ofPage: 200) == address)
            #expect(unsafe table.address(ofPage: 200) != address)
        }
        let second = unsafe table.address(ofPage: 200)
        Self.write(4, 200, &table)
        #expect(unsafe table.address(ofPage: 200) == second)
    }

    @Test("Pages of zeros share one page until they are written, and each write separates one")
    func sharedZeros() {
        var table = PagedTable(pageCount: 256, epoch: 1)
        #expect(table.page(0) === table.page(255))
        Self.write(7, 130, &table)
        #expect(Self.words(table).enumerated().allSatisfy { $1 == ($0 == 130 ? 7 : 0) })
        #expect(table.page(131) === table.page(0))
    }

    @Test("A page bears the epoch of its last change; its copy in a snapshot keeps the old one")
    func epochs() {
        var table = PagedTable(pageCount: 3, epoch: 1)
        Self.write(1, 0, &table, epoch: 2)
        let snapshot = table
        Self.write(1, 0, &table, epoch: 5)
        Self.write(1, 1, &table, epoch: 4)
        #expect([0, 1, 2].map { table.page($0).epoch } == [5, 4, 1])
        #expect([0, 1, 2].map { snapshot.page($0).epoch } == [2, 1, 1])
    }

    @Test("Appending behind a snapshot does not lengthen the snapshot", arguments: [0, 1, 127, 128, 511, 512])
    func appendBehindSnapshot(_ count: Int) {
        var table = PagedTable(epoch: 1)
        for index in 0..<count {
            table.appendZeros(epoch: 1)
            Self.write(UInt64(index + 1), index, &table)
        }
        let snapshot = table
        for index in count..<count + 200 {
            table.appendZeros(epoch: 1)
            Self.write(UInt64(index + 1), index, &table)
        }
        #expect(Self.words(snapshot) == (0..<count).map { UInt64($0 + 1) })
        #expect(Self.words(table) == (0..<count + 200).map { UInt64($0 + 1) })
    }
}
