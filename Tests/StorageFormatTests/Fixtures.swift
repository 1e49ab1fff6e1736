/// Values that the golden files hold, golden files, seeded random numbers and damage, for every suite here.
import Foundation
import StorageFormat

enum Fixtures {
    static let uuid = StorageUUID(high: 0x0011_2233_4455_6677, low: 0x8899_aabb_ccdd_eeff)

    static let header: FileHeader = {
        var header = FileHeader(
            dimension: 3, metric: .euclidean, flags: [.clean, .directoryIsValid], uuid: uuid, incarnation: 9,
            idHashKey: IDHashKey(k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908))
        header.vectorCount = 100
        header.deletedCount = 7
        header.indexOffset = 0x7_0000
        header.dataOffset = 0x1_0000
        header.generation = 6
        header.checkpointLSN = 0x1122_3344_5566_7788
        header.fingerprint = StateFingerprint(low: 0xa1a2_a3a4_a5a6_a7a8, high: 0xb1b2_b3b4_b5b6_b7b8)
        header.slotCount = 130
        header.directoryBucketCount = 1024
        header.createdAt = 1_700_000_000_000_000_001
        header.updatedAt = 1_700_000_000_000_000_002
        header.recordPageCount = 2
        header.directoryPageCount = 2
        header.pageTableChecksum = 0xc1c2_c3c4
        header.payloadUnitCount = 555
        header.lastCommitLSN = 0x1122_3344_5566_7799
        header.logSequence = 12
        header.previousHeaderChecksum = 0xd1d2_d3d4
        header.extents = [
            Extent(kind: .payload, startUnit: 2, unitCount: 1), Extent(kind: .directory, startUnit: 3, unitCount: 2),
            Extent(kind: .vectors, startUnit: 1, unitCount: 1), Extent(kind: .pageTable, startUnit: 5, unitCount: 2),
            Extent(kind: .recordTable, startUnit: 7, unitCount: 2),
        ]
        return header
    }()
    static let fileSize: UInt64 = 9 * 65_536

    static let segment = SegmentHeader(
        storeUUID: uuid, sequence: 0x2a, saltLow: 0xdead_beef_0102_0304, saltHigh: 0xcafe_babe_0506_0708,
        previousSequence: 0x29, previousByteCount: 67_108_864, previousLastLSN: 998, previousLastChecksum: 0xe1e2_e3e4,
        flags: [.hasPrevious, .replacesPrevious], firstLSN: 999, createdAt: 1_700_000_000_000_000_003,
        byteCount: 33_554_432, oldestNeededLSN: 900)

    static let codes = CodeFileHeader(
        uuid: uuid, incarnation: 9, generation: 7, seed: 0x3132_3334_3536_3738,
        codedThroughLSN: 0x1122_3344_5566_7788, codedSlotCount: 300, dimension: 3, codecVersion: 5, highStride: 32,
        lowStride: 16, signStride: 48, chunkSlotCount: 256, centreCount: 3, centreChecksum: 0x4142_4344)

    static let reference = StoreReference(
        slot: 77, payloadUnit: 1234, idLength: 3, metadataLength: 0, contentChecksum: 0x0102_0304,
        idHash: 0x1112_1314_1516_1718)
    static let deleteReference = StoreReference(
        slot: 77, payloadUnit: 0, idLength: 3, metadataLength: 0, contentChecksum: 0x0102_0304,
        idHash: 0x1112_1314_1516_1718)

    /// The sealed store record of the golden file.
    static let record = storeRecord(id: "abc", lsn: 1000, previousChecksum: segment.saltSeed)

    static func storeRecord(id: String, lsn: UInt64, previousChecksum: UInt32) -> [UInt8] {
        let id = Array(id.utf8)
        let bodyLength = StoreBody.encodedByteCount(dimension: 3, idLength: id.count, metadataLength: 0)
        let vector: [Float] = [1.5, -2, 0.25]
        return unsafe filled(LogCodec.paddedByteCount(bodyLength: bodyLength)) { record in
            unsafe LogCodec.writeHeader(record, type: .store, database: 5, bodyLength: bodyLength)
            let body = unsafe UnsafeMutableRawBufferPointer(rebasing: record[48...])
            var reference = reference
            reference.idLength = UInt16(id.count)
            unsafe vector.withUnsafeBytes { vector in
                unsafe id.withUnsafeBytes { id in
                    unsafe StoreBody.encode(
                        into: body, reference: reference, vector: vector, id: id,
                        metadata: UnsafeRawBufferPointer(start: nil, count: 0))
                }
            }
            unsafe LogCodec.seal(
                record, lsn: lsn, transaction: 21, syncedUpTo: 997, previousChecksum: previousChecksum,
                saltSeed: segment.saltSeed)
        }
    }

    static let commit = CommitBody(
        operationCount: 4, batchHash: 0x0123_4567_89ab_cdef,
        databases: [
            CommittedState(database: 5, liveCount: 100, fingerprint: StateFingerprint(low: 1, high: 2)),
            CommittedState(database: 6, liveCount: 200, fingerprint: StateFingerprint(low: 3, high: 4)),
        ])

    static let catalogue = Catalogue(
        storeUUID: uuid, generation: 8, catalogueLSN: 950, lastLSN: 1001, nextSegmentSequence: 43,
        nextDatabaseNumber: 3, isCleanShutdown: true, createdAt: 1_700_000_000_000_000_005,
        entries: [
            CatalogueEntry(
                number: 2, name: "docs", dimension: 768, metric: .cosine, durability: .durable, uuid: uuid,
                createdAt: 1_700_000_000_000_000_004, generation: 0x3132_3334_3536_3738),
            CatalogueEntry(
                number: 1, name: "images-2024_x", dimension: 3, metric: .dot,
                durability: .relaxed(nanoseconds: 5_000_000), uuid: uuid, createdAt: 1_700_000_000_000_000_004),
        ])

    static let indexedEntry = CatalogueEntry(
        number: 3, name: "pix", dimension: 8, metric: .euclidean, durability: .durable, uuid: uuid,
        createdAt: 1_700_000_000_000_000_006, indexedFields: ["lang", "author.name"])

    static func metadata() throws -> [UInt8] {
        var writer = MetadataWriter()
        writer.field("array")
        writer.beginArray()
        writer.integer(-1)
        writer.null()
        writer.string("é")
        writer.endArray()
        writer.field("flag")
        writer.bool(true)
        writer.field("nested")
        writer.beginObject()
        writer.field("off")
        writer.bool(false)
        writer.endObject()
        writer.field("score")
        writer.double(0.5)
        writer.field("text")
        writer.string("hello")
        return try writer.finish()
    }
}

/// Hexadecimal files under `Golden/`: lines `offset: bytes`, zero rows left out, the last line gives the length.
enum Golden {
    static func bytes(_ name: String) throws -> [UInt8] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(name).hex")
        var bytes: [UInt8] = []
        for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
            let parts = line.split(separator: ":")
            guard parts.count == 2, let offset = Int(parts[0], radix: 16) else { throw CocoaError(.coderReadCorrupt) }
            bytes.append(contentsOf: repeatElement(0, count: offset - bytes.count))
            let digits = Array(parts[1].dropFirst())
            if String(digits) == "end" { break }
            for index in stride(from: 0, to: digits.count, by: 2) {
                guard let byte = UInt8(String(digits[index...(index + 1)]), radix: 16) else {
                    throw CocoaError(.coderReadCorrupt)
                }
                bytes.append(byte)
            }
        }
        return bytes
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): random numbers that a seed reproduces.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// Random bytes; small values are common, as they are in lengths and counts.
    mutating func bytes(_ count: Int) -> [UInt8] {
        let isSparse = next() % 2 == 0
        return (0..<count).map { _ in
            let value = next()
            return isSparse && value & 0x700 != 0 ? UInt8(value & 3) : UInt8(truncatingIfNeeded: value)
        }
    }
}

extension [UInt8] {
    /// The little-endian integer at `offset`.
    func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self, at offset: Int) -> Value {
        (0..<(Value.bitWidth / 8)).reversed().reduce(Value(0)) {
            $0 << 8 | Value(truncatingIfNeeded: self[offset + $1])
        }
    }

    mutating func put<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
        for index in 0..<(Value.bitWidth / 8) {
            self[offset + index] = UInt8(truncatingIfNeeded: value >> Value(index * 8))
        }
    }

    func flipping(bit: Int) -> [UInt8] {
        var copy = self
        copy[bit / 8] ^= 1 << UInt8(bit % 8)
        return copy
    }

    /// A header or segment page with its last four bytes made right again.
    func resealed(label: String, index: UInt8) -> [UInt8] {
        var copy = self
        copy.put(checksum(self[..<(count - 4)], continuing: checksum(Array(label.utf8) + [index])), at: count - 4)
        return copy
    }
}
