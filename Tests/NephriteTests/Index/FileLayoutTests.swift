// Where areas lie in a data file: translation piece by piece, how a file grows, and writing runs of an area.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

/// Areas made of pieces, against a byte-by-byte translation.
@Suite struct FileLayoutTests {
    private static let unit = FormatLimits.extentUnitByteCount

    @Test("A range of an area is translated piece by piece, in order", arguments: 0..<4 as Range<UInt64>)
    func parts(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var map = AreaMap()
        var offsets: [UInt64] = []
        var file: UInt64 = 100
        for _ in 0..<12 {
            let length = UInt64(1 + random.next(below: 60))
            file += UInt64(random.next(below: 50))
            map.append(fileOffset: file, byteCount: length)
            offsets += (file..<file + length)
            file += length
        }
        #expect(map.byteCount == UInt64(offsets.count))
        for _ in 0..<500 {
            let start = random.next(below: offsets.count)
            let count = random.next(below: offsets.count - start + 1)
            var found: [UInt64] = []
            var parts = 0
            map.forEachPart(offset: UInt64(start), byteCount: UInt64(count)) { offset, length in
                found += (offset..<offset + length)
                parts += 1
            }
            #expect(found == Array(offsets[start..<start + count]))
            #expect(parts <= 12)
        }
    }

    @Test("Extents of a kind form its area; index kinds are split into two regions that do not meet")
    func kinds() {
        var layout = FileLayout(extents: [])
        #expect(layout.endUnit == 1 && layout.fileByteCount == UInt64(Self.unit))
        layout.add(Extent(kind: .vectors, startUnit: 1, unitCount: 3))
        layout.add(Extent(kind: .recordTable, startUnit: 4, unitCount: 2))
        layout.add(Extent(kind: .vectors, startUnit: 6, unitCount: 1))
        layout.add(Extent(kind: .recordTable, startUnit: 7, unitCount: 4))
        layout.add(Extent(kind: .directory, startUnit: 11, unitCount: 2))
        layout.add(Extent(kind: .pageTable, startUnit: 13, unitCount: 2))
        layout.add(Extent(kind: .payload, startUnit: 15, unitCount: 1))
        #expect(layout.endUnit == 16 && layout.extents.count == 7)
        #expect(layout.vectors.byteCount == UInt64(4 * Self.unit))
        #expect(layout.recordTable.map { $0.pieces.map { Int($0.fileOffset) / Self.unit } } == [[4, 7], [5, 9]])
        #expect(layout.recordTable.allSatisfy { $0.byteCount == UInt64(3 * Self.unit) })
        #expect(layout.recordEntryCapacity == 3 * 16 * 128)
        #expect(layout.bucketCapacity == 16 * 512 && layout.pageTableCapacity == 8_192)
        #expect(layout.payloadUnitCapacity == 2_048)
        #expect(layout.slotCapacity(stride: 64) == 4 * 1_024 && layout.slotCapacity(stride: 8_192) == 32)
        #expect(FileLayout(extents: layout.extents).extents == layout.extents)
    }
}

/// Growth from nothing to the format's limits, in the smallest steps that need any.
@Suite struct GrowthPlanTests {
    /// A database that always asks for one more than fits.
    private struct Growth {
        let stride: Int
        var layout = FileLayout(extents: [])
        var buckets = IDDirectory.minimumBucketCount

        /// Grows until `limit` bytes of vectors, or a format limit; whether the limit was reached.
        mutating func run(untilVectorBytes limit: UInt64, growsPayload: Bool) -> Bool {
            while layout.vectors.byteCount < limit {
                let slots = layout.slotCapacity(stride: stride) + 1
                if slots > FormatLimits.slotCount { return true }
                while slots * 4 > buckets * 3 { buckets *= 2 }
                var units = layout.payloadUnitCapacity
                if growsPayload, units < FormatLimits.payloadUnitCount { units += 1 }
                let demand = GrowthPlan.Demand(
                    slots: slots, payloadUnits: units, buckets: buckets, unitsPerSlot: growsPayload ? 3 : 0)
                guard let extents = GrowthPlan.extents(for: demand, layout: layout, stride: stride) else {
                    return false
                }
                check(extents, demand)
            }
            return true
        }

        mutating func check(_ extents: [Extent], _ demand: GrowthPlan.Demand) {
            #expect(!extents.isEmpty)
            for extent in extents {
                // Each begins where everything before it ends.
                #expect(extent.startUnit == layout.endUnit && extent.unitCount > 0)
                #expect(!extent.kind.isShadowed || extent.unitCount % 2 == 0)
                layout.add(extent)
            }
            #expect(layout.slotCapacity(stride: stride) >= demand.slots)
            // A heap beyond 128 GiB would have units that 32 bits cannot number.
            #expect((demand.payloadUnits...FormatLimits.payloadUnitCount).contains(layout.payloadUnitCapacity))
            #expect(layout.bucketCapacity >= demand.buckets)
            let pages = layout.recordEntryCapacity / 128 + layout.bucketCapacity / 512
            #expect(layout.pageTableCapacity >= pages)
        }
    }

    @Test(
        "Up to 1 TiB of vectors in the smallest steps, the extents fit the header",
        arguments: [64, 512, 1_536, 16_384, 262_144],
        [false, true])
    func toOneTebibyte(_ stride: Int, _ growsPayload: Bool) {
        var growth = Growth(stride: stride)
        let isDone = growth.run(untilVectorBytes: 1 << 40, growsPayload: growsPayload)
        #expect(isDone, "no more extents fit the header at \(growth.layout.vectors.byteCount) bytes of vectors")
        #expect(growth.layout.extents.count <= FormatLimits.extentCount)
    }

    @Test("The number of extents grows with the logarithm of the size")
    func logarithmic() {
        var counts: [Int] = []
        for shift in stride(from: 24 as UInt64, through: 40, by: 4) {
            var growth = Growth(stride: 512)
            _ = growth.run(untilVectorBytes: 1 << shift, growsPayload: false)
            counts.append(growth.layout.extents.count)
        }
        let steps = zip(counts, counts.dropFirst()).map { $1 - $0 }
        #expect(steps.allSatisfy { $0 <= 45 }, "extents for each factor of 16: \(steps)")
    }

    @Test("What fits already needs nothing; a plan depends on nothing but its input")
    func nothingToDo() throws {
        var growth = Growth(stride: 512)
        _ = growth.run(untilVectorBytes: 1 << 20, growsPayload: true)
        let layout = growth.layout
        let fitting = GrowthPlan.Demand(
            slots: layout.slotCapacity(stride: 512), payloadUnits: layout.payloadUnitCapacity,
            buckets: layout.bucketCapacity)
        #expect(GrowthPlan.extents(for: fitting, layout: layout, stride: 512) == [])
    }

    @Test("A demand much larger than a quarter is met at once")
    func largeDemand() throws {
        let demand = GrowthPlan.Demand(slots: 1_000_000, payloadUnits: 3_000_000, buckets: 1 << 21)
        let extents = try #require(
            GrowthPlan.extents(for: demand, layout: FileLayout(extents: []), stride: 512))
        let layout = FileLayout(extents: extents)
        #expect(extents.count == 5)
        #expect(layout.slotCapacity(stride: 512) >= 1_000_000 && layout.payloadUnitCapacity >= 3_000_000)
        #expect(layout.bucketCapacity >= 1 << 21)
    }

    /// The growths of 200 batches of 1,000 whose payloads take three units a slot on average so far, and in the second half
    /// the share `more` more.
    private static func growths(more: Double, batchSlots: Int = 0) throws -> (count: Int, ofPayloadAlone: Int) {
        let stride = 512
        var layout = FileLayout(extents: [])
        var growths = (count: 0, ofPayloadAlone: 0)
        for batch in 1...200 {
            let slots = batch * 1_000
            let units = 3 * slots + Int(more * 3 * Double(slots > 100_000 ? slots : 0))
            var demand = GrowthPlan.Demand(
                slots: slots, payloadUnits: units, buckets: IDDirectory.minimumBucketCount, unitsPerSlot: 3,
                batchSlots: batchSlots)
            while slots * 4 > demand.buckets * 3 { demand.buckets *= 2 }
            let isFull = layout.slotCapacity(stride: stride) < slots
            let extents = try #require(GrowthPlan.extents(for: demand, layout: layout, stride: stride))
            growths.count += extents.isEmpty ? 0 : 1
            growths.ofPayloadAlone += extents.isEmpty || isFull ? 0 : 1
            for extent in extents { layout.add(extent) }
            #expect(layout.slotCapacity(stride: stride) >= slots && layout.payloadUnitCapacity >= units)
            #expect(layout.bucketCapacity >= demand.buckets)
        }
        return growths
    }

    @Test(
        "What grows with the vectors' area lasts until that is full, if payloads are an eighth longer than before, too")
    func foresight() throws {
        for more in [0, 0.12] {
            let growths = try Self.growths(more: more)
            #expect(growths.count <= 10)
            #expect(growths.ofPayloadAlone == 0)
        }
        #expect(try Self.growths(more: 1).ofPayloadAlone > 0)
        // An eighth more than three units for each of 20,480 slots, which are 10 MiB.
        let demand = GrowthPlan.Demand(slots: 20_480, payloadUnits: 61_440, buckets: 512, unitsPerSlot: 3)
        let extents = try #require(GrowthPlan.extents(for: demand, layout: FileLayout(extents: []), stride: 512))
        #expect((69_120..<71_200).contains(FileLayout(extents: extents).payloadUnitCapacity))
        #expect(try Self.growths(more: 0, batchSlots: 1_000).count < Self.growths(more: 0).count)
    }

    @Test(
        "A batch that is not the first finds room for three more of its size; one record does not, nor one of many megabytes"
    )
    func batches() throws {
        func capacity(
            _ count: Int, stride: Int, from units: UInt32 = 1, allowance: Int = .max
        ) throws -> Int {
            let layout = FileLayout(
                extents: units == 0
                    ? []
                    : [
                        Extent(kind: .vectors, startUnit: 1, unitCount: units),
                        Extent(kind: .recordTable, startUnit: 1 + units, unitCount: 2),
                    ])
            let have = layout.slotCapacity(stride: stride)
            let demand = GrowthPlan.Demand(
                slots: have + count, payloadUnits: 1, buckets: 512, batchSlots: count)
            let extents = try #require(
                GrowthPlan.extents(for: demand, layout: layout, stride: stride, allowance: allowance))
            return FileLayout(extents: layout.extents + extents).slotCapacity(stride: stride) - have
        }
        #expect(try (4_000..<4_300).contains(capacity(1_000, stride: 512)))
        #expect(try (1_000..<1_100).contains(capacity(1_000, stride: 512, from: 0)))
        #expect(try (1_000..<1_100).contains(capacity(1_000, stride: 512, allowance: 1 << 20)))
        #expect(try capacity(1, stride: 65_536) == 1)
        #expect(try (100_000..<100_200).contains(capacity(100_000, stride: 512)))
    }

    @Test("Three more batches would be more slots than the format has: the one that asks gets its room")
    func lastBatch() throws {
        let last = FormatLimits.slotCount - 1_500
        let extents = try #require(
            GrowthPlan.extents(
                for: .init(slots: last, payloadUnits: 1, buckets: 1 << 32), layout: FileLayout(extents: []),
                stride: 64, allowance: 0))
        var layout = FileLayout(extents: extents)
        let demand = GrowthPlan.Demand(slots: last + 1_000, payloadUnits: 1, buckets: 1 << 32, batchSlots: 1_000)
        #expect(layout.slotCapacity(stride: 64) < demand.slots)
        for extent in try #require(GrowthPlan.extents(for: demand, layout: layout, stride: 64)) { layout.add(extent) }
        #expect(layout.slotCapacity(stride: 64) >= demand.slots)
    }

    @Test(
        "What is only likely to be needed is left out where the allowance does not reach, or the file would double again"
    )
    func foresightWithinLimits() throws {
        var demand = GrowthPlan.Demand(slots: 1, payloadUnits: 1, buckets: 512, unitsPerSlot: 1_000)
        let empty = FileLayout(extents: [])
        func layout(_ allowance: Int) throws -> FileLayout {
            try FileLayout(
                extents: #require(GrowthPlan.extents(for: demand, layout: empty, stride: 64, allowance: allowance)))
        }
        // 64 KiB have 1,024 slots of 64 bytes, which would want 36 MB of payload: more than the file has.
        #expect(try layout(.max).payloadUnitCapacity == 2_048)
        // Their ids want no more than the directory has anyway.
        #expect(try layout(.max).bucketCapacity >= 2_048)
        demand.payloadUnits = 700_000
        #expect(try layout(.max).payloadUnitCapacity >= 1_024 * 1_000)
        #expect(try layout(30 << 20).payloadUnitCapacity < 702_000)
        // An average that no heap can have is cut to what the format has.
        demand.payloadUnits = FormatLimits.payloadUnitCount / 2 + 1
        demand.unitsPerSlot = 1e12
        #expect(try layout(.max).payloadUnitCapacity == FormatLimits.payloadUnitCount)
    }

    @Test("Beyond the format's limits there is no plan")
    func limits() {
        let empty = FileLayout(extents: [])
        let slots = FormatLimits.slotCount
        let units = FormatLimits.payloadUnitCount
        func plan(_ slots: Int, _ units: Int, _ layout: FileLayout = empty) -> [Extent]? {
            GrowthPlan.extents(for: .init(slots: slots, payloadUnits: units, buckets: 512), layout: layout, stride: 64)
        }
        #expect(plan(slots, 1) != nil && plan(slots + 1, 1) == nil)
        #expect(plan(1, units) != nil && plan(1, units + 1) == nil)
        // Units are numbered with 32 bits: 2^31 slots of 262,144 bytes do not fit.
        #expect(
            GrowthPlan.extents(for: .init(slots: slots, payloadUnits: 1, buckets: 512), layout: empty, stride: 262_144)
                == nil)
        var full = FileLayout(extents: [])
        for index in 0..<UInt32(FormatLimits.extentCount) {
            full.add(Extent(kind: .payload, startUnit: 1 + index, unitCount: 1))
        }
        #expect(plan(1, 1, full) == nil)
    }
}

/// Gathered writes, against the bytes written one by one.
@Suite struct AreaWriterTests {
    private static let unit = FormatLimits.extentUnitByteCount

    @Test(
        "Runs, gaps, padding and piece boundaries: the file holds what was added where it belongs",
        arguments: 0..<6 as Range<UInt64>)
    func model(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let fileSystem = MemoryFileSystem(name: "area")
        try fileSystem.openRoot(createIfMissing: true)
        let file = try fileSystem.open(StoragePath("f"), .createNew)
        // Pieces of one unit each, in the file in another order than in the area.
        let order = [5, 2, 7, 1, 4].map { $0 * Self.unit }
        try file.allocate(offset: 0, length: UInt64(8 * Self.unit))
        var area = AreaMap()
        for offset in order { area.append(fileOffset: UInt64(offset), byteCount: UInt64(Self.unit)) }
        let source = (0..<3_000).map { UInt8(truncatingIfNeeded: $0 * 7 + Int(seed)) }
        var expected = [UInt8](repeating: 0, count: 8 * Self.unit)
        var written = 0
        try unsafe source.withUnsafeBytesTyped { (source) throws(FileSystemError) in
            var writer = AreaWriter(file: file, area: area)
            var position = 0
            for _ in 0..<2_500 {
                // Mostly one behind the other, sometimes elsewhere; now and then a longer one across a boundary.
                if random.chance(0.02) { position = random.next(below: 5 * Self.unit) }
                let count = 1 + random.next(below: random.chance(0.05) ? 3_000 : 90)
                let padded = (count + 31) / 32 * 32
                if position + padded > 5 * Self.unit { position = 0 }
                let from = random.next(below: 3_000 - count + 1)
                let bytes = unsafe UnsafeRawBufferPointer(rebasing: source[from..<from + count])
                try unsafe writer.add(bytes, at: UInt64(position), paddedByteCount: padded)
                for index in 0..<padded {
                    let place = order[(position + index) / Self.unit] + (position + index) % Self.unit
                    expected[place] = unsafe index < count ? bytes[index] : 0
                }
                position += padded
                written += padded
            }
            try writer.flush()
            try writer.flush()
            #expect(writer.writtenByteCount == UInt64(written))
        }
        let found = try file.readBytes(count: 8 * Self.unit, at: 0)
        #expect(
            found.elementsEqual(expected), "the first difference is at \(zip(found, expected).firstDifference ?? -1)")
    }

    @Test("Bytes that lie side by side in memory and in the area are one buffer of one call")
    func oneCall() throws {
        let inner = MemoryFileSystem(name: "area")
        let fileSystem = HookedFileSystem(inner)
        try fileSystem.openRoot(createIfMissing: true)
        let file = try fileSystem.open(StoragePath("f"), .createNew)
        try file.allocate(offset: 0, length: UInt64(2 * Self.unit))
        let calls = Tally()
        fileSystem.set { (call, _) throws(FileSystemError) in if call == .write { calls.add() } }
        var area = AreaMap()
        area.append(fileOffset: 0, byteCount: UInt64(Self.unit))
        area.append(fileOffset: UInt64(Self.unit), byteCount: UInt64(Self.unit))
        let source = [UInt8](repeating: 1, count: 2 * Self.unit)
        try unsafe source.withUnsafeBytesTyped { (source) throws(FileSystemError) in
            var writer = AreaWriter(file: file, area: area)
            for index in 0..<1_024 {
                let bytes = unsafe UnsafeRawBufferPointer(rebasing: source[index * 64..<index * 64 + 64])
                try unsafe writer.add(bytes, at: UInt64(index * 64), paddedByteCount: 64)
            }
            try writer.flush()
            #expect(calls.value == 1)
            try unsafe writer.add(source, at: 0, paddedByteCount: source.count)
            try writer.flush()
            #expect(calls.value == 3, "one call for each piece")
        }
    }
}

extension Zip2Sequence where Sequence1 == [UInt8], Sequence2 == [UInt8] {
    fileprivate var firstDifference: Int? { enumerated().first { $1.0 != $1.1 }?.offset }
}

/// Growth where the format has no more room to give.
@Suite struct GrowthLimitTests {
    @Test("A file whose units are all given away does not grow, whatever it is that lacks room")
    func unitsAreGone() {
        // The units of 64 KiB are numbered with 32 bits, and these are the last.
        let last = UInt32.max - 3
        func layout(_ kinds: [Extent.Kind]) -> FileLayout {
            FileLayout(
                extents: kinds.enumerated().map { index, kind in
                    Extent(
                        kind: kind, startUnit: index == 0 ? last : UInt32(1 + 1_000 * index),
                        unitCount: index == 0 ? 2 : 1_000)
                })
        }
        func plan(_ layout: FileLayout, slots: Int = 0, units: Int = 0, buckets: Int = 0) -> [Extent]? {
            GrowthPlan.extents(
                for: .init(slots: slots, payloadUnits: units, buckets: buckets), layout: layout, stride: 64)
        }
        let nearlyFull = layout([.pageTable])
        #expect(plan(nearlyFull) == [])
        #expect(plan(nearlyFull, slots: 1) == nil && plan(nearlyFull, units: 1) == nil)
        #expect(plan(nearlyFull, buckets: 512) == nil)
        // Vectors have room, their entries do not; entries have, and their checksums do not.
        #expect(plan(layout([.pageTable, .vectors]), slots: 1) == nil)
        #expect(plan(layout([.payload, .vectors, .recordTable]), slots: 1) == nil)
        #expect(plan(layout([.pageTable, .vectors, .recordTable]), slots: 1) == [])
        #expect(plan(nearlyFull, slots: FormatLimits.slotCount + 1) == nil)
    }
}
