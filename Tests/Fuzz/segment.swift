/// libFuzzer entry: segment headers (with a right checksum) and scans of log records.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSegment(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    _ = try? SegmentHeader.decode(input)
    if count >= SegmentHeader.copyByteCount {
        let page = UnsafeRawBufferPointer(rebasing: input[..<SegmentHeader.copyByteCount])
        withChecksum(page, at: SegmentHeader.copyByteCount - 4, seed: CRC32C.seed("NWSG header", index: 0)) { page in
            guard let header = try? SegmentHeader.decode(page) else { return }
            let version = page.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
            precondition(version != 1 || header.encode(copy: 0).elementsEqual(page))
        }
    }
    _ = LogCodec.nextValid(input, from: 0, saltSeed: 0)
    scanSealed(Array(input))
    return 0
}

/// Seals the record at the front, if its length fits, and reads it back.
private func scanSealed(_ input: [UInt8]) {
    var bytes = input
    bytes.withUnsafeMutableBytes { all in
        guard all.count >= LogRecordHeader.byteCount else { return }
        all.store(LogRecordHeader.magic, at: 0)
        let length = Int(UnsafeRawBufferPointer(all).loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        guard length <= all.count - LogRecordHeader.byteCount else { return }
        let checksum = LogCodec.seal(
            all, lsn: 1, transaction: 2, syncedUpTo: 0, previousChecksum: 3, saltSeed: 4)
        switch LogCodec.read(UnsafeRawBufferPointer(all), at: 0, saltSeed: 4) {
        case .record(let header, let body, let next):
            precondition(header.checksum == checksum && body.count == length && next <= all.count)
        case .end: preconditionFailure("a record was taken for the end")
        case .invalid: break
        }
    }
}
