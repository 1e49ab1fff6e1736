/// libFuzzer entry: every body of a log record; the first byte chooses, the second is the dimension less one.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzLogBodies(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count >= 2 else { return 0 }
    let body = UnsafeRawBufferPointer(start: start + 2, count: count - 2)
    switch start[0] % 8 {
    case 0:
        guard let store = try? StoreBody.decode(body, dimension: Int(start[1]) + 1) else { break }
        precondition(store.metadata.upperBound == body.count)
    case 1: _ = try? DeleteBody.decode(body)
    case 2:
        guard let bulk = try? BulkStoreBody.decode(body) else { break }
        for index in 0..<bulk.count { precondition((try? bulk.reference(at: index, in: body)) != nil) }
    case 3:
        guard let resize = try? ResizeBody.decode(body) else { break }
        precondition(resize.encode().elementsEqual(body))
    case 4: _ = try? CheckpointBody.decode(body)
    case 5: _ = try? DeleteDatabaseBody.decode(body)
    case 6:
        guard let commit = try? CommitBody.decode(body) else { break }
        var again = [UInt8](repeating: 0, count: commit.encodedByteCount)
        again.withUnsafeMutableBytes { commit.encode(into: $0) }
        precondition(again.elementsEqual(body))
    default:
        guard let entry = try? CatalogueEntry.decode(body) else { break }
        precondition(entry.encode().elementsEqual(body))
    }
    return 0
}
