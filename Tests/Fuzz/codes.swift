/// libFuzzer entry: code file headers, as they are and with a right checksum; what decodes must encode to the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzCodes(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    _ = try? CodeFileHeader.newest(input, fileSize: 1 << 30)
    guard count >= CodeFileHeader.byteCount else { return 0 }
    let page = UnsafeRawBufferPointer(rebasing: input[..<CodeFileHeader.byteCount])
    for copy in 0..<CodeFileHeader.copyCount {
        withChecksum(page, at: CodeFileHeader.byteCount - 4, seed: CodeFileHeader.checksumSeed(copy: copy)) { page in
            guard let header = try? CodeFileHeader.decode(page, copy: copy) else { return }
            precondition(header.chunksOffset > 0 && header.chunkByteCount > 0 && header.codedChunkCount >= 0)
            let version = page.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
            precondition(version != 1 || header.encode().elementsEqual(page))
        }
    }
    return 0
}
