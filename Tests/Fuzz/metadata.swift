/// libFuzzer entry: metadata; what validates must be walked to its end and written again to the same bytes.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzMetadata(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let reader = MetadataReader(input)
    _ = try? reader.find("key")
    if var cursor = try? reader.fields() { while let field = try? cursor.next() { _ = field.payload } }
    guard (try? MetadataCodec.validate(input)) != nil else { return 0 }
    var writer = MetadataWriter()
    guard let fields = try? reader.fields() else { fatalError("valid metadata has no fields") }
    copy(fields, into: &writer, bytes: input)
    guard let again = try? writer.finish() else { fatalError("valid metadata cannot be written") }
    precondition(again.elementsEqual(input))
    return 0
}

private func copy(_ fields: MetadataCursor, into writer: inout MetadataWriter, bytes: UnsafeRawBufferPointer) {
    var cursor = fields
    while let field = stillValid({ try cursor.next() }) {
        writer.field(String(decoding: bytes[field.key], as: UTF8.self))
        copy(field.value, into: &writer, bytes: bytes)
    }
}

private func copy(_ value: MetadataRawValue, into writer: inout MetadataWriter, bytes: UnsafeRawBufferPointer) {
    switch value.tag {
    case .null: writer.null()
    case .false: writer.bool(false)
    case .true: writer.bool(true)
    case .integer: writer.integer(value.integer(in: bytes))
    case .double: writer.double(value.double(in: bytes))
    case .string: writer.string(value.string(in: bytes))
    case .array:
        writer.beginArray()
        var elements = value.elements(in: bytes)
        while let element = stillValid({ try elements.next() }) { copy(element, into: &writer, bytes: bytes) }
        writer.endArray()
    case .object:
        writer.beginObject()
        copy(value.fields(in: bytes), into: &writer, bytes: bytes)
        writer.endObject()
    }
}

/// A step through bytes that were validated: it must not throw.
private func stillValid<Value>(_ step: () throws -> Value?) -> Value? {
    do { return try step() } catch { fatalError("valid metadata became invalid: \(error)") }
}
