/// libFuzzer entry: catalogue files, as they are and with a right checksum; what decodes must survive a round trip.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzCatalogue(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    check(input)
    if count >= 84 {
        let byteCount = Int(input.loadUnaligned(fromByteOffset: 68, as: UInt32.self))
        withChecksum(input, at: byteCount - 4, seed: Catalogue.seed, check)
    }
    _ = try? CatalogueEntry.decode(input)
    return 0
}

private func check(_ input: UnsafeRawBufferPointer) {
    guard let (catalogue, _) = try? Catalogue.decodeFile(input) else { return }
    let again = try? catalogue.encodeFile().withUnsafeBytes { try Catalogue.decodeFile($0) }
    precondition(again?.0 == catalogue && again?.damagedCopies == [])
}
