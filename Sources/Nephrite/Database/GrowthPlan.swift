/// Which extents a database file needs to hold more: an I/O-free plan that the database actor makes and an I/O thread
/// carries out before the extents are logged and used.
import StorageFormat

enum GrowthPlan {
    /// Up to this size an area doubles: each growth costs a commit of its own.
    private static let doubledByteCount = 32 << 20
    /// Batches that vectors get room for when one of them needs more.
    private static let batchCount = 4
    /// The share that the payloads of slots to come may be longer by than those so far, without another growth.
    private static let unitMargin = 1.0 / 8

    /// What must fit after growing.
    struct Demand: Sendable {
        var slots: Int
        var payloadUnits: Int
        var buckets: Int
        /// Payload units that a slot has had so far, on average.
        var unitsPerSlot = 0.0
        /// Slots that the batch takes which asks for this.
        var batchSlots = 0
    }

    /// The extents to add, or nil when a format limit is in the way; empty when all fits already.
    ///
    /// Two things are added that are only likely to be needed, as long as no more than the allowance is added in all. A
    /// batch that is not the first is followed by others: vectors get room for three more of its size, up to 32 MiB. And
    /// what the slots that there will be are likely to need of the other areas is added with them: three areas that
    /// double, each when it is full, would make as many commits as they have doublings between them. That does not double
    /// the file again: the first records may be unlike those to come.
    ///
    /// - Parameter allowance: bytes that an area may at most grow by when the demand is for less.
    static func extents(
        for demand: Demand, layout: FileLayout, stride: Int, allowance: Int = .max
    ) -> [Extent]? {
        let least = extentsForBatches(demand, layout: layout, stride: stride, allowance: allowance)
        guard let least, !least.isEmpty else { return least }
        var grown = layout
        for extent in least { grown.add(extent) }
        var likely = demand
        likely.slots = max(demand.slots, grown.slotCapacity(stride: stride))
        likely.buckets = max(demand.buckets, IDDirectory.minimumBucketCount)
        while likely.slots * 4 > likely.buckets * 3 { likely.buckets *= 2 }
        // Where payloads would take too much, the directory alone may not.
        for unitsPerSlot in [demand.unitsPerSlot, 0] {
            let units = Double(likely.slots) * unitsPerSlot * (1 + unitMargin)
            likely.payloadUnits = max(demand.payloadUnits, Int(min(units, Double(FormatLimits.payloadUnitCount))))
            if let extents = leastExtents(for: likely, layout: layout, stride: stride, allowance: allowance),
                byteCount(extents) <= allowance,
                byteCount(extents) - byteCount(least) <= Int(grown.fileByteCount)
            {
                return extents
            }
        }
        return least
    }

    /// The extents for a demand, and for more batches like the one that it comes from.
    private static func extentsForBatches(
        _ demand: Demand, layout: FileLayout, stride: Int, allowance: Int
    ) -> [Extent]? {
        let least = leastExtents(for: demand, layout: layout, stride: stride, allowance: allowance)
        let capacity = layout.slotCapacity(stride: stride)
        let more = (batchCount - 1) * demand.batchSlots
        guard let least, demand.batchSlots > 1, demand.slots > capacity, capacity > 0, more * stride <= doubledByteCount
        else { return least }
        var demand = demand
        demand.slots += more
        let extents = leastExtents(for: demand, layout: layout, stride: stride, allowance: allowance)
        guard let extents, byteCount(extents) <= allowance else { return least }
        return extents
    }

    private static func byteCount(_ extents: [Extent]) -> Int {
        extents.reduce(0) { $0 + Int($1.unitCount) * FormatLimits.extentUnitByteCount }
    }

    /// The extents that a demand cannot do without.
    ///
    /// Areas double until they grow by 32 MiB at a time, then grow by a quarter of their size, or to the demand if that
    /// is more, so that the number of extents stays logarithmic; index regions are allocated twice so that a checkpoint
    /// never needs new space.
    private static func leastExtents(
        for demand: Demand, layout: FileLayout, stride: Int, allowance: Int
    ) -> [Extent]? {
        var planned: [Extent] = []
        var next = layout.endUnit
        func grown(from current: Int, to wanted: Int) -> Int {
            rounded(max(wanted - current, min(max(min(current, doubledByteCount), current / 4), allowance)))
        }
        func add(_ kind: Extent.Kind, units: Int) -> Bool {
            guard units < Int(UInt32.max) - Int(next) else { return false }
            planned.append(Extent(kind: kind, startUnit: next, unitCount: UInt32(units)))
            next += UInt32(units)
            return true
        }
        guard demand.slots <= FormatLimits.slotCount, demand.payloadUnits <= FormatLimits.payloadUnitCount else {
            return nil
        }
        let unit = FormatLimits.extentUnitByteCount
        let vectorBytes = Int(layout.vectors.byteCount)
        var slots = demand.slots
        if demand.slots * stride > vectorBytes {
            let units = grown(from: vectorBytes, to: demand.slots * stride) / unit
            guard add(.vectors, units: units) else { return nil }
            slots = (vectorBytes + units * unit) / stride
        } else {
            slots = vectorBytes / stride
        }
        let payloadBytes = Int(layout.payload.byteCount)
        if demand.payloadUnits > layout.payloadUnitCapacity {
            let wanted = demand.payloadUnits * FormatLimits.payloadUnitByteCount
            guard add(.payload, units: grown(from: payloadBytes, to: wanted) / unit) else { return nil }
        }
        // A unit holds 16 index pages; both regions get as many.
        let recordPages = (slots + FormatLimits.recordsPerPage - 1) / FormatLimits.recordsPerPage
        let havePages = Int(layout.recordTable[0].byteCount) / FormatLimits.pageByteCount
        var totalRecordPages = havePages
        if recordPages > havePages {
            let units = (recordPages - havePages + 15) / 16
            guard add(.recordTable, units: units * 2) else { return nil }
            totalRecordPages += units * 16
        }
        let bucketPages = demand.buckets / FormatLimits.bucketsPerPage
        let haveBucketPages = layout.bucketCapacity / FormatLimits.bucketsPerPage
        var totalBucketPages = haveBucketPages
        if bucketPages > haveBucketPages {
            let units = (bucketPages - haveBucketPages + 15) / 16
            guard add(.directory, units: units * 2) else { return nil }
            totalBucketPages += units * 16
        }
        let entries = totalRecordPages + totalBucketPages
        if entries > layout.pageTableCapacity {
            let units = ((entries - layout.pageTableCapacity) * 8 * 5 / 4 + unit - 1) / unit
            guard add(.pageTable, units: units * 2) else { return nil }
        }
        return layout.extents.count + planned.count <= FormatLimits.extentCount ? planned : nil
    }

    private static func rounded(_ byteCount: Int) -> Int {
        let unit = FormatLimits.extentUnitByteCount
        return (byteCount + unit - 1) / unit * unit
    }
}
