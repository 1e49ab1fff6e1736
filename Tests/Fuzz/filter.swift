/// libFuzzer entry: a filter's text; what is read must be written as text that is read as the same filter, and be
/// evaluated on any bytes without a trap.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFilter(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let text = String(decoding: input, as: UTF8.self)
    guard let filter = try? Filter(parsing: text) else { return 0 }
    guard let again = try? Filter(parsing: filter.description), again == filter else {
        fatalError("not read back: \(filter)")
    }
    guard let compiled = try? CompiledFilter(filter) else { fatalError("read, but not valid: \(filter)") }
    let metadata: Metadata = [
        "a": 1, "b": 1.5, "lang": "en", "year": 2_020, "tags": ["a", "new", 3], "o": ["a": ["b": "x"], "b": nil],
    ]
    _ = try? metadata.encoded.withUnsafeBytes { try compiled.matches($0) }
    _ = try? compiled.matches(input)
    return 0
}
