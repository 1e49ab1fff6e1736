// The small sets that codes are kept track of with, against plain sets.
import Testing

@testable import Nephrite

@Suite struct CodedSlotsTests {
    private static func bits(_ members: some Sequence<Int>) -> PageBits {
        var bits = PageBits.none
        for member in members { bits.insert(member) }
        return bits
    }

    private static func members(_ bits: PageBits) -> [Int] {
        var members: [Int] = []
        bits.forEach { members.append($0) }
        return members
    }

    @Test("The bits of a page are a set of 0 … 127", arguments: 0..<20)
    func pageBits(seed: Int) {
        var generator = TestGenerator(state: UInt64(seed))
        let one = Set((0..<seed * 7).map { _ in Int(generator.next() % 128) })
        let other = Set((0..<50).map { _ in Int(generator.next() % 128) })
        let bits = Self.bits(one)
        #expect(Self.members(bits) == one.sorted() && bits.count == one.count && bits.isEmpty == one.isEmpty)
        #expect((0..<128).allSatisfy { bits.contains($0) == one.contains($0) })
        #expect(Self.members(bits.intersection(Self.bits(other))) == one.intersection(other).sorted())
        #expect(Self.members(bits.subtracting(Self.bits(other))) == one.subtracting(other).sorted())
        for count in [-3, 0, 1, 63, 64, 65, 127, 128, 300] {
            #expect(Self.members(bits.prefix(count)) == one.filter { $0 < count }.sorted())
        }
        var inRuns: [Int] = []
        var lastEnd = -1
        bits.forEachRun { run in
            #expect(run.lowerBound > lastEnd)
            lastEnd = run.upperBound
            inRuns += run
        }
        #expect(inRuns == one.sorted())
    }

    @Test("Coded slots are set a page at a time and cleared one by one, over several blocks")
    func codedSlots() {
        let coded = [CodedSlots(), CodedSlots()]
        let page = CodedSlots.slotCount / 128
        coded.insert(Self.bits([0, 63, 64, 127]), page: 3)
        coded.insert(Self.bits([1, 65]), page: page)
        #expect(coded.word(6) == 1 | 1 << 63 && coded.word(7) == 1 | 1 << 63)
        #expect(coded.bits(ofPage: page) == Self.bits([1, 65]) && coded.bits(ofPage: 4).isEmpty)
        coded.remove(slot: 3 * 128 + 63)
        coded.remove(slot: UInt32(CodedSlots.slotCount + 65))
        coded.remove(slot: UInt32(CodedSlots.slotCount + 2))
        coded.remove(slot: 1 << 30)
        #expect(coded.bits(ofPage: 3) == Self.bits([0, 64, 127]) && coded.bits(ofPage: page) == Self.bits([1]))
        #expect(coded.word(1 << 20) == 0 && [CodedSlots]().word(0) == 0)
    }

    @Test("Marked pages come lowest first, whatever is marked in between", arguments: 0..<10)
    func pageMarks(seed: Int) {
        var generator = TestGenerator(state: UInt64(seed))
        var marks = PageMarks()
        var model: Set<Int> = []
        for _ in 0..<400 {
            switch generator.next() % 4 {
            case 0, 1:
                let page = Int(generator.next() % 1_000)
                marks.insert(page)
                model.insert(page)
            case 2:
                var more = PageMarks()
                for _ in 0..<3 {
                    let page = Int(generator.next() % 2_000)
                    more.insert(page)
                    model.insert(page)
                }
                marks.formUnion(more)
            default:
                #expect(marks.first == model.min())
                if let first = marks.first {
                    marks.remove(first)
                    model.remove(first)
                }
            }
        }
        while let first = marks.first {
            #expect(model.remove(first) != nil)
            marks.remove(first)
        }
        #expect(model.isEmpty)
    }
}
