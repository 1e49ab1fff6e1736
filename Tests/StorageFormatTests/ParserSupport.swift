/// The module's parsers on arrays, so that the tests need no pointers.
import StorageFormat

extension FileHeader {
    static func decode(_ bytes: [UInt8], pageIndex: Int) throws(FormatError) -> FileHeader {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw, pageIndex: pageIndex) }
    }

    static func newest(
        _ bytes: [UInt8], fileSize: UInt64
    ) throws(FormatError) -> (header: FileHeader, alternatives: [FileHeader], damagedPages: [Int]) {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe newest(pages: raw, fileSize: fileSize) }
    }
}

extension SegmentHeader {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> SegmentHeader {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }
}

extension CodeFileHeader {
    static func decode(_ bytes: [UInt8], copy: Int) throws(FormatError) -> CodeFileHeader {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw, copy: copy) }
    }

    static func newest(_ bytes: [UInt8], fileSize: UInt64) throws(FormatError) -> CodeFileHeader {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe newest(raw, fileSize: fileSize) }
    }
}

extension Catalogue {
    static func decodeFile(_ bytes: [UInt8]) throws(FormatError) -> (Catalogue, damagedCopies: [Int]) {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decodeFile(raw) }
    }
}

extension CatalogueEntry {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> CatalogueEntry {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }
}

extension StoreBody {
    static func decode(_ bytes: [UInt8], dimension: Int) throws(FormatError) -> StoreBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw, dimension: dimension) }
    }
}

extension DeleteBody {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> DeleteBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }
}

extension BulkStoreBody {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> BulkStoreBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }

    func reference(at index: Int, in bytes: [UInt8]) throws(FormatError) -> StoreReference {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe reference(at: index, in: raw) }
    }
}

extension ResizeBody {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> ResizeBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }
}

extension CheckpointBody {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> CheckpointBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }
}

extension DeleteDatabaseBody {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> DeleteDatabaseBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }
}

extension CommitBody {
    static func decode(_ bytes: [UInt8]) throws(FormatError) -> CommitBody {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe decode(raw) }
    }

    func encode() -> [UInt8] {
        unsafe filled(encodedByteCount) { unsafe encode(into: $0) }
    }
}

extension MetadataCodec {
    static func validate(_ bytes: [UInt8]) throws(FormatError) {
        try unsafe parse(bytes) { raw throws(FormatError) in try unsafe validate(raw) }
    }
}

extension LogCodec {
    static func read(_ bytes: [UInt8], at offset: Int, saltSeed: UInt32) -> Scan {
        unsafe bytes.withUnsafeBytes { unsafe read($0, at: offset, saltSeed: saltSeed) }
    }

    static func nextValid(_ bytes: [UInt8], from offset: Int, saltSeed: UInt32) -> (Int, LogRecordHeader)? {
        unsafe bytes.withUnsafeBytes { unsafe nextValid($0, from: offset, saltSeed: saltSeed) }
    }
}

func checksum(_ bytes: some Sequence<UInt8>, continuing crc: UInt32 = 0) -> UInt32 {
    unsafe Array(bytes).withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: crc) }
}

/// Runs a parser on bytes that end where the allocation ends.
func parse<Value>(
    _ bytes: [UInt8], _ parser: (UnsafeRawBufferPointer) throws(FormatError) -> Value
) throws(FormatError) -> Value {
    let result = unsafe bytes.withUnsafeBytes { raw in
        Result { () throws(FormatError) in try unsafe parser(raw) }
    }
    return try result.get()
}

/// An array that `fill` wrote.
func filled(_ count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xaa, count: count)
    unsafe bytes.withUnsafeMutableBytes { unsafe fill($0) }
    return bytes
}

/// The value of a top-level key; nil if there is none or the bytes are damaged before it.
func findKey(_ key: String, in bytes: [UInt8]) -> MetadataRawValue? {
    try? unsafe parse(bytes) { raw throws(FormatError) in
        let reader = unsafe MetadataReader(raw)
        let byString = try reader.find(key)
        let byBytes = try unsafe Array(key.utf8).withUnsafeBytes { key in
            Result { () throws(FormatError) in try unsafe reader.find(key) }
        }.get()
        return byString == byBytes ? byString : nil
    }
}
