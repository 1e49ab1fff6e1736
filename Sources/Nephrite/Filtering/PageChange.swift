/// What a page of the record table says that the indexes of declared fields do not say yet: read from a snapshot, on
/// whatever thread, and handed to ``FieldIndexes``, which takes it over.
import StorageFormat

/// Reads one declared field in encoded metadata.
struct FieldReader: Sendable {
    /// Leads to the field.
    private let locator: CompiledFilter

    init(_ path: FieldPath) throws(StoreError) {
        locator = try CompiledFilter(FilterField(path: path).exists)
    }

    /// The field of a record; nil if it is not there.
    func content(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> FieldIndex.Content? {
        guard let value = try unsafe locator.locate(locator.instructions[0].path, bytes) else { return nil }
        if let key = unsafe FieldKey(value, in: bytes) { return .scalar(key) }
        guard value.isArray else { return .composite([]) }
        var keys: Set<FieldKey> = []
        var cursor = EncodedElements(value)
        while let element = try unsafe cursor.next(bytes) {
            if let key = unsafe FieldKey(element, in: bytes) { keys.insert(key) }
        }
        return .composite(Array(keys))
    }
}

/// How one page differs from what is held of it.
struct PageChange: Sendable {
    let page: Int
    /// The page that is held, and the one to be held instead.
    let old: IndexPage?
    let new: IndexPage
    /// How many pages the snapshot has.
    let pageCount: Int
    /// Slots that were active and changed.
    private(set) var removed: [UInt32] = []
    /// Slots that are active and new or changed, with what is in each declared field.
    private(set) var added: [(slot: UInt32, contents: [FieldIndex.Content?])] = []

    /// Compares a page of a snapshot with the one that is held.
    ///
    /// - Throws: `corruption` if a record's metadata is damaged.
    init(
        _ page: Int, of snapshot: DatabaseSnapshot, from old: IndexPage?, readers: [FieldReader]
    ) throws(StoreError) {
        self.page = page
        self.old = old
        new = snapshot.records.pages.page(page)
        pageCount = snapshot.records.pages.pageCount
        let first = page * RecordTable.entriesPerPage
        for index in 0..<RecordTable.entriesPerPage {
            let offset = index * RecordEntry.byteCount
            let before = unsafe old?.bytes.load(fromByteOffset: offset, as: RecordEntry.self) ?? .empty
            let after = unsafe new.bytes.load(fromByteOffset: offset, as: RecordEntry.self)
            if before == after { continue }
            let slot = UInt32(first + index)
            if before.isActive { removed.append(slot) }
            if after.isActive { added.append((slot, try Self.contents(slot, after, snapshot, readers))) }
        }
    }

    private static func contents(
        _ slot: UInt32, _ entry: RecordEntry, _ snapshot: DatabaseSnapshot, _ readers: [FieldReader]
    ) throws(StoreError) -> [FieldIndex.Content?] {
        do throws(FormatError) {
            var contents: [FieldIndex.Content?] = []
            contents.reserveCapacity(readers.count)
            for reader in readers { contents.append(try unsafe reader.content(snapshot.metadataBytes(entry))) }
            return contents
        } catch {
            throw snapshot.damaged(slot: slot, entry: entry)
        }
    }
}
