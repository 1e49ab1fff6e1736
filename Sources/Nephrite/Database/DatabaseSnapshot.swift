/// One commit of a database, as readers see it: the index tables as of that commit and the mapping they point into.
/// The database actor publishes snapshots; every read, search and checkpoint works on one.
import CNephrite
import StorageFormat

/// A database as of one commit. Reads on it are synchronous, never wait for writers, and never change.
///
/// Holding a snapshot keeps the space of records deleted since then from being used again; let go of it when done.
public final class DatabaseSnapshot: Sendable {
    let identity: DatabaseIdentity
    let records: RecordTable
    let directory: IDDirectory
    let mapping: DataMapping
    let searcher: Searcher
    let codeStore: CodeStore
    let filters: DatabaseFilters
    let verifiesReads: Bool
    /// What the commits up to this one left, for proofs of sameness.
    let fingerprint: StateFingerprint
    private let ledger: SnapshotLedger
    private let ticket: UInt64

    /// The commit it shows; versions of its records are at most this.
    public let version: RecordVersion
    /// The number of records.
    public let count: Int

    init(
        identity: DatabaseIdentity, records: RecordTable, directory: IDDirectory, mapping: DataMapping,
        count: Int, version: RecordVersion, fingerprint: StateFingerprint, ledger: SnapshotLedger, searcher: Searcher,
        codeStore: CodeStore, filters: DatabaseFilters, verifiesReads: Bool
    ) {
        self.identity = identity
        self.records = records
        self.directory = directory
        self.mapping = mapping
        self.searcher = searcher
        self.codeStore = codeStore
        self.filters = filters
        self.verifiesReads = verifiesReads
        self.fingerprint = fingerprint
        self.ledger = ledger
        self.version = version
        self.count = count
        ticket = ledger.open(version: version)
    }

    deinit { ledger.close(ticket) }

    /// The database's options.
    public var options: DatabaseOptions {
        var options = identity.options
        options.quantization = codeStore.quantization
        return options
    }

    /// The codes of the vectors, for a search: nil if there are none. Asking is what has them made.
    var codes: CodeView? { codeStore.view(forSearchOf: count) }

    // MARK: Finding

    /// The slot and entry of an id, if it is there.
    @inline(__always)
    func find(_ id: UnsafeRawBufferPointer) -> (slot: UInt32, entry: RecordEntry)? {
        guard let slot = unsafe findSlot(id, hash: IDHash.hash(id, key: identity.hashKey)) else { return nil }
        return (slot, records[Int(slot)])
    }

    /// The slot of an id whose hash is known.
    @inline(__always)
    func findSlot(_ id: UnsafeRawBufferPointer, hash: UInt64) -> UInt32? {
        var suspect = BatchOperation.noSlot
        return unsafe findSlot(id, hash: hash, suspect: &suspect)
    }

    /// Finds an id; `suspect` is set to a slot that has its hash and length, but other bytes: another id by a rare
    /// chance, else this one, damaged.
    @inline(__always)
    func findSlot(_ id: UnsafeRawBufferPointer, hash: UInt64, suspect: inout UInt32) -> UInt32? {
        directory.find(hash: hash) { slot in
            let entry = records[Int(slot)]
            guard entry.isActive, entry.idHash == hash, Int(entry.idLength) == id.count else { return false }
            if unsafe nephrite_equal(payloadAddress(entry), id.baseAddress!, id.count) != 0 { return true }
            suspect = slot
            return false
        }
    }

    @inline(__always)
    func withFound<R>(
        _ id: String, _ body: (UInt32, RecordEntry) throws(StoreError) -> R?
    ) throws(StoreError) -> R? {
        var id = id
        let result: Result<R?, StoreError> = id.withUTF8 { bytes in
            guard !bytes.isEmpty, bytes.count <= FormatLimits.idByteCount else { return .success(nil) }
            var suspect = BatchOperation.noSlot
            do throws(StoreError) {
                let raw = UnsafeRawBufferPointer(bytes)
                let hash = unsafe IDHash.hash(raw, key: identity.hashKey)
                guard let slot = unsafe findSlot(raw, hash: hash, suspect: &suspect) else {
                    if suspect != BatchOperation.noSlot { try verify(slot: suspect, entry: records[Int(suspect)]) }
                    return .success(nil)
                }
                return .success(try body(slot, records[Int(slot)]))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// The version of a record, be it damaged; nil if there is none. The database actor judges writes by the same rule.
    func version(of id: String) -> RecordVersion? {
        var id = id
        return id.withUTF8 { utf8 in
            let bytes = UnsafeRawBufferPointer(utf8)
            guard unsafe !bytes.isEmpty else { return nil }
            var suspect = BatchOperation.noSlot
            let hash = unsafe IDHash.hash(bytes, key: identity.hashKey)
            if let slot = unsafe findSlot(bytes, hash: hash, suspect: &suspect) { return records[Int(slot)].lsn }
            guard suspect != BatchOperation.noSlot else { return nil }
            let entry = records[Int(suspect)]
            return isIntact(slot: suspect, entry: entry) ? nil : entry.lsn
        }
    }

    // MARK: Addresses

    @inline(__always)
    func payloadAddress(_ entry: RecordEntry) -> UnsafeRawPointer {
        unsafe mapping.payload + Int(entry.payloadUnit) * FormatLimits.payloadUnitByteCount
    }

    @inline(__always)
    func vectorAddress(_ slot: UInt32) -> UnsafeRawPointer {
        unsafe mapping.vectors + Int(slot) * identity.stride
    }

    /// The content checksum of what is at a slot now.
    func contentChecksum(slot: UInt32, entry: RecordEntry) -> UInt32 {
        let vector = unsafe UnsafeRawBufferPointer(start: vectorAddress(slot), count: identity.vectorByteCount)
        let payload = unsafe UnsafeRawBufferPointer(start: payloadAddress(entry), count: entry.payloadLength)
        return unsafe CRC32C.checksum(payload, continuing: CRC32C.checksum(vector))
    }

    /// Throws unless the record's bytes are those that were written.
    @inline(__always)
    func verify(slot: UInt32, entry: RecordEntry) throws(StoreError) {
        guard verifiesReads else { return }
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.skipRecordChecks) { return }
        #endif
        if !isIntact(slot: slot, entry: entry) { throw damaged(slot: slot, entry: entry) }
    }

    /// Whether a record's bytes are those that were written.
    @inline(__always)
    func isIntact(slot: UInt32, entry: RecordEntry) -> Bool {
        identity.tag(contentChecksum: contentChecksum(slot: slot, entry: entry), slot: slot) == entry.tag
    }

    func damaged(slot: UInt32, entry: RecordEntry) -> StoreError {
        .corruption(
            "The record's checksum does not match its bytes.", database: identity.name,
            path: "\(identity.name)/\(DatabaseIdentity.dataFileName)", ids: [id(of: entry)])
    }

    func id(of entry: RecordEntry) -> String {
        let bytes = unsafe UnsafeRawBufferPointer(start: payloadAddress(entry), count: Int(entry.idLength))
        return unsafe String(decoding: bytes, as: UTF8.self)
    }

    func metadata(of entry: RecordEntry) -> Metadata {
        let length = entry.payloadLength - Int(entry.idLength)
        guard length > 0 else { return Metadata() }
        let bytes = unsafe UnsafeRawBufferPointer(
            start: payloadAddress(entry) + Int(entry.idLength), count: length)
        return unsafe Metadata(validated: Array(bytes))
    }

    func vector(slot: UInt32) -> [Float] {
        let dimension = identity.options.dimension
        return unsafe [Float](unsafeUninitializedCapacity: dimension) { buffer, count in
            unsafe UnsafeMutableRawPointer(buffer.baseAddress!).copyMemory(
                from: vectorAddress(slot), byteCount: dimension * 4)
            count = dimension
        }
    }
}
