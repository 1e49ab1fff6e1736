/// One database in the catalogue, and the body of the log record that creates it; the registry keeps them.
package struct CatalogueEntry: Sendable, Hashable {
    /// Bytes before the name.
    static let fixedByteCount = 56
    static let part = "catalogue entry"

    /// Names the database in the log; never used again after a delete.
    package var number: UInt32
    package var name: String
    package var dimension: Int
    package var metric: FormatMetric
    package var durability: FormatDurability
    package var quantization: FormatQuantization
    package var uuid: StorageUUID
    /// Nanoseconds since 1970.
    package var createdAt: UInt64
    /// The generation of the database's header at the last clean shutdown; 1, that of its creation, before the first. A file
    /// that is older has lost a write.
    package var generation: UInt64
    /// The metadata fields that are indexed, as they are written in filters: distinct, and at most
    /// ``FormatLimits/indexedFieldCount``.
    package var indexedFields: [String]

    package init(
        number: UInt32, name: String, dimension: Int, metric: FormatMetric, durability: FormatDurability,
        quantization: FormatQuantization = .automatic, uuid: StorageUUID, createdAt: UInt64,
        generation: UInt64 = 0, indexedFields: [String] = []
    ) {
        self.number = number
        self.name = name
        self.dimension = dimension
        self.metric = metric
        self.durability = durability
        self.quantization = quantization
        self.uuid = uuid
        self.createdAt = createdAt
        self.generation = generation
        self.indexedFields = indexedFields
    }

    package var encodedByteCount: Int {
        roundedUp(Self.fixedByteCount + name.utf8.count + indexedFieldByteCount, toMultipleOf: 8)
    }

    /// Bytes of the indexed fields' names with their lengths.
    private var indexedFieldByteCount: Int { indexedFields.reduce(0) { $0 + 2 + $1.utf8.count } }

    package func encode() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: encodedByteCount)
        encode(into: &writer)
        return writer.bytes
    }

    func encode(into writer: inout ByteWriter) {
        precondition(DatabaseName.isValid(name), "a catalogue holds valid names")
        precondition((1...FormatLimits.dimension).contains(dimension), "a catalogue holds valid dimensions")
        precondition(
            indexedFields.count <= FormatLimits.indexedFieldCount
                && indexedFields.allSatisfy { (1...FormatLimits.indexedFieldByteCount).contains($0.utf8.count) },
            "a catalogue holds valid field names")
        let end = writer.count + encodedByteCount
        writer.append(number)
        writer.append(UInt32(dimension))
        writer.append(metric.rawValue)
        switch durability {
        case .durable: writer.append(UInt8(0))
        case .relaxed: writer.append(UInt8(1))
        }
        writer.append(UInt16(name.utf8.count))
        writer.append(quantization.rawValue)
        writer.append(UInt8(0))
        writer.append(UInt16(indexedFieldByteCount))
        switch durability {
        case .durable: writer.append(UInt64(0))
        case .relaxed(let nanoseconds): writer.append(nanoseconds)
        }
        writer.append(uuid)
        writer.append(createdAt)
        writer.append(generation)
        writer.append(contentsOf: name.utf8)
        for field in indexedFields {
            writer.append(UInt16(field.utf8.count))
            writer.append(contentsOf: field.utf8)
        }
        writer.pad(to: end)
    }

    /// Reads an entry that fills `bytes`.
    package static func decode(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> CatalogueEntry {
        var reader = unsafe ByteReader(bytes, part: part)
        let entry = try decode(from: &reader)
        try reader.finish()
        return entry
    }

    static func decode(from reader: inout ByteReader) throws(FormatError) -> CatalogueEntry {
        let start = reader.offset
        let number = try reader.u32()
        let dimension = Int(try reader.u32())
        guard (1...FormatLimits.dimension).contains(dimension), let metric = FormatMetric(rawValue: try reader.u8())
        else { throw reader.error(.invalidValue) }
        let durabilityCode = try reader.u8()
        let nameLength = Int(try reader.u16())
        guard let quantization = FormatQuantization(rawValue: try reader.u8()) else {
            throw reader.error(.invalidValue, at: start + 12)
        }
        try reader.zeros(1)
        let fieldByteCount = Int(try reader.u16())
        let interval = try reader.u64()
        let durability: FormatDurability
        switch (durabilityCode, interval) {
        case (0, 0): durability = .durable
        case (1, _): durability = .relaxed(nanoseconds: interval)
        default: throw reader.error(.invalidValue)
        }
        let uuid = try reader.uuid()
        let createdAt = try reader.u64()
        let generation = try reader.u64()
        guard nameLength <= FormatLimits.databaseNameByteCount else { throw reader.error(.outOfBounds, at: start + 10) }
        let nameRange = try reader.take(nameLength)
        let name = unsafe String(decoding: reader.bytes[nameRange], as: UTF8.self)
        guard DatabaseName.isValid(name) else { throw reader.error(.invalidValue, at: nameRange.lowerBound) }
        let indexedFields = try decodeFields(from: &reader, byteCount: fieldByteCount)
        try reader.zeros(start + roundedUp(reader.offset - start, toMultipleOf: 8) - reader.offset)
        return CatalogueEntry(
            number: number, name: name, dimension: dimension, metric: metric, durability: durability,
            quantization: quantization, uuid: uuid, createdAt: createdAt, generation: generation,
            indexedFields: indexedFields)
    }

    /// The names of the indexed fields, which fill `byteCount` bytes.
    private static func decodeFields(
        from reader: inout ByteReader, byteCount: Int
    ) throws(FormatError) -> [String] {
        let end = reader.offset + byteCount
        var fields: [String] = []
        while reader.offset < end {
            let start = reader.offset
            let length = Int(try reader.u16())
            guard (1...FormatLimits.indexedFieldByteCount).contains(length), length <= end - reader.offset else {
                throw reader.error(.outOfBounds, at: start)
            }
            let range = try reader.take(length)
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: reader.bytes[range])
            let field = unsafe String(decoding: bytes, as: UTF8.self)
            guard unsafe MetadataCodec.isValidUTF8(bytes), fields.count < FormatLimits.indexedFieldCount,
                !fields.contains(where: { $0.utf8.elementsEqual(field.utf8) })
            else { throw reader.error(.invalidValue, at: start) }
            fields.append(field)
        }
        guard reader.offset == end else { throw reader.error(.outOfBounds, at: end) }
        return fields
    }
}
