/// libFuzzer entry: file header pages, as they are and with a right checksum; what decodes must encode to the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHeader(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    _ = try? FileHeader.newest(pages: input, fileSize: .max)
    guard count >= FileHeader.byteCount else { return 0 }
    let page = UnsafeRawBufferPointer(rebasing: input[..<FileHeader.byteCount])
    withChecksum(page, at: FileHeader.byteCount - 4, seed: FileHeader.seed(pageIndex: 0)) { page in
        guard let header = try? FileHeader.decode(page, pageIndex: 0) else { return }
        _ = try? header.validate(fileSize: 1 << 20)
        let version = page.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        precondition(version != 1 || header.encode(pageIndex: 0).elementsEqual(page))
    }
    return 0
}
