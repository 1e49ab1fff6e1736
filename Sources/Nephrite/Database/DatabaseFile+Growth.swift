/// Growth: when a batch does not fit, extents are allocated on an I/O thread, mapped, and logged before they are used
/// (O5). One growth at a time; writers of other databases are not concerned.
import StorageFormat
import StorageIO

extension DatabaseFile {
    /// What a batch takes of the file.
    struct SpaceNeed: Sendable {
        /// Slots that it does not have yet.
        let slots: Int
        /// Ids that it may add to the directory.
        let ids: Int
        let payloadUnits: Int

        init(slots: Int, ids: Int, payloadUnits: Int) {
            self.slots = slots
            self.ids = ids
            self.payloadUnits = payloadUnits
        }

        init(_ batch: OperationBatch) {
            slots = batch.slotCount
            ids = slots
            payloadUnits = batch.payloadUnitCount
        }
    }

    /// Whether a batch fits without growing the file.
    func hasRoom(for need: SpaceNeed) -> Bool { demand(for: need) == nil }

    /// What the file must hold for a batch to be staged; nil if it does already.
    private func demand(for need: SpaceNeed) -> GrowthPlan.Demand? {
        if need.ids == 0 { return nil }
        let neededSlots = max(0, slots.highWater + need.slots - slots.freeCount)
        let slotsFit = neededSlots <= layout.slotCapacity(stride: identity.stride)
        let unitsFit = payload.canExtend(by: need.payloadUnits, capacity: layout.payloadUnitCapacity)
        let idsWanted = index.directory.count + pendingInserts + need.ids
        let bucketsFit = idsWanted * 4 <= layout.bucketCapacity * 3
        if slotsFit, unitsFit, bucketsFit { return nil }
        var buckets = max(layout.bucketCapacity, IDDirectory.minimumBucketCount)
        while idsWanted * 4 > buckets * 3 { buckets *= 2 }
        let units = payload.highWater + need.payloadUnits
        // A bulk batch has slots before it has payloads, and asks for one and then for the other.
        let slotsOfUnits = slots.highWater + (need.payloadUnits > 0 ? need.slots : 0)
        return GrowthPlan.Demand(
            slots: neededSlots, payloadUnits: units, buckets: buckets,
            unitsPerSlot: slotsOfUnits > 0 ? Double(units) / Double(slotsOfUnits) : 0, batchSlots: need.slots)
    }

    /// Grows the file until a batch fits.
    func makeRoom(for need: SpaceNeed) async throws {
        while true {
            try checkOpen()
            guard let demand = demand(for: need) else { return }
            reclaimSpace()
            if hasRoom(for: need) { return }
            if isGrowing {
                await waitForChange()
                continue
            }
            isGrowing = true
            defer {
                isGrowing = false
                wakeWaiters()
            }
            do {
                try await grow(to: demand)
            } catch let error as StoreError where error.code == .diskFull {
                if fitsFullDirectory(need) { return }
                throw error
            }
        }
    }

    /// On a full disk the directory may fill to 90 % before inserts are refused (O5).
    func fitsFullDirectory(_ need: SpaceNeed) -> Bool {
        guard (index.directory.count + pendingInserts + need.ids) * 10 <= layout.bucketCapacity * 9 else {
            return false
        }
        return slots.canAllocate(need.slots, capacity: layout.slotCapacity(stride: identity.stride))
            && payload.canExtend(by: need.payloadUnits, capacity: layout.payloadUnitCapacity)
    }

    /// Grows by no more than an eighth of the space there is, unless more is needed: what an allocation that fails has
    /// taken stays taken, and on a disk that is nearly full it would starve the log.
    private func grow(to demand: GrowthPlan.Demand) async throws {
        let available = dataFile.fileSystem.availableByteCount ?? .max
        let extents = try plan(demand, allowance: Int(available / 8))
        do {
            try await grow(by: extents)
        } catch let error as StoreError where error.code == .diskFull {
            let fewer = try plan(demand, allowance: 0)
            if fewer == extents { throw error }
            try await grow(by: fewer)
        }
    }

    private func plan(_ demand: GrowthPlan.Demand, allowance: Int) throws(StoreError) -> [Extent] {
        guard
            let extents = GrowthPlan.extents(
                for: demand, layout: layout, stride: identity.stride, allowance: allowance)
        else {
            throw StoreError.limit("The database has reached the largest size of its format.", database: identity.name)
        }
        return extents
    }

    private func grow(by extents: [Extent]) async throws {
        if extents.isEmpty { return }
        var grown = layout
        for extent in extents { grown.add(extent) }
        let newLayout = grown
        let dataFile = dataFile
        let mapping = mapping
        let reservation = context.configuration.addressSpaceReservation
        let result: Result<DataMapping, FileSystemError> = await context.io.run {
            do throws(FileSystemError) {
                return .success(
                    try dataFile.grow(by: extents, to: newLayout, mapping: mapping, reservation: reservation))
            } catch {
                return .failure(error)
            }
        }
        let newMapping: DataMapping
        switch result {
        case .success(let mapping): newMapping = mapping
        case .failure(let error): throw StoreError(error, database: identity.name)
        }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.growWithoutLog) {
                return adopt(LayoutChange(file: self, extents: extents, mapping: newMapping))
            }
        #endif
        let record = LogBuffer(capacity: 64 + extents.count * Extent.byteCount + 160)
        record.appendRecord(.resize, database: identity.number, body: ResizeBody(extents: extents).encode())
        // The log task has this actor adopt the extents in log order: a checkpoint that covers a commit behind the
        // resize has them too.
        _ = try await context.commitAdministration(
            record, layoutChange: LayoutChange(file: self, extents: extents, mapping: newMapping))
    }

    /// Takes extents into use that are durable in the log.
    func adopt(_ change: LayoutChange) {
        for extent in change.extents { layout.add(extent) }
        mapping = change.mapping
        cell.metrics.growths.add(1)
    }

    /// Notes the commit of a layout change, once every commit before it is applied: a checkpoint reaches as far as it.
    func noteLayout(lsn: UInt64) { lastLayoutLSN = lsn }
}
