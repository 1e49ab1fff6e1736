/// The applied state of a database as one batch is judged by it: the actor takes it once for all of the batch's ids, for
/// asking the actor's properties for each of them counts references more often than it compares ids.
import StorageFormat

struct AppliedState {
    let identity: DatabaseIdentity
    let index: DatabaseIndex
    let mapping: DataMapping

    /// The slot of a record.
    @inline(__always)
    func slot(of id: UnsafeRawBufferPointer, hash: UInt64) -> UInt32? {
        index.directory.find(hash: hash) { slot in
            let entry = index.records[Int(slot)]
            guard entry.isActive, entry.idHash == hash, Int(entry.idLength) == id.count else { return false }
            #if NEPHRITE_MUTANTS
                if Mutant.isActive(.compareHashes) { return true }
            #endif
            let stored = unsafe UnsafeRawBufferPointer(
                start: mapping.payload + Int(entry.payloadUnit) * FormatLimits.payloadUnitByteCount,
                count: id.count)
            if unsafe stored.elementsEqual(id) { return true }
            // The bytes of a damaged record say nothing, not even that it is another; its keyed hash of 64 bits does.
            return !isIntact(slot, entry)
        }
    }

    /// Whether the data file holds what an entry describes.
    private func isIntact(_ slot: UInt32, _ entry: RecordEntry) -> Bool {
        let vector = unsafe UnsafeRawBufferPointer(
            start: mapping.vectors + Int(slot) * identity.stride, count: identity.vectorByteCount)
        let payload = unsafe UnsafeRawBufferPointer(
            start: mapping.payload + Int(entry.payloadUnit) * FormatLimits.payloadUnitByteCount,
            count: entry.payloadLength)
        let checksum = unsafe CRC32C.checksum(payload, continuing: CRC32C.checksum(vector))
        return identity.tag(contentChecksum: checksum, slot: slot) == entry.tag
    }
}
