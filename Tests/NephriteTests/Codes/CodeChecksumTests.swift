// Codes that are not those that were written: their checksums tell, so that an exact search stays exact.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct CodeChecksumTests {
    private static let path = StoragePath("a", CodeFile.name)

    /// A closed store whose database `a` has codes.
    private struct Base {
        let directory = Coding.store()
        let header: CodeFileHeader

        init() async throws {
            try await directory.database(DatabaseOptions(dimension: Coding.dimension)) { database async throws in
                try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
                try await Coding.finish(database)
            }
            let file = try directory.memory!.open(CodeChecksumTests.path, .read)
            let bytes = try file.readBytes(count: CodeFileHeader.centreOffset, at: 0)
            let size = try file.size()
            header = try unsafe bytes.withUnsafeBytesTyped { (raw) throws(FormatError) in
                try unsafe CodeFileHeader.newest(raw, fileSize: size)
            }
        }

        func open() throws -> any StorageFile { try directory.memory!.open(CodeChecksumTests.path, .readWrite) }

        /// Where the bytes of a slot's code and of its checksum stand.
        func places(ofSlot slot: Int) -> [Range<UInt64>] {
            [
                (header.highStride, 0), (header.lowStride, header.lowRowsOffset),
                (header.signStride, header.signRowsOffset),
                (CodeFileHeader.checksumByteCount, header.checksumsOffset),
            ].filter { $0.0 > 0 }.map { stride, table in
                let start = header.place(ofSlot: slot, stride: stride, table: table)
                return start..<start + UInt64(stride)
            }
        }

        func flip(bit: Int, at offset: UInt64) throws {
            let file = try open()
            try file.writeBytes([try file.readBytes(count: 1, at: offset)[0] ^ (1 << UInt8(bit))], at: offset)
        }
    }

    /// Whether searches with codes find what comparing every vector finds.
    private static func expectExact(_ database: VectorDatabase) async throws {
        let snapshot = try await database.snapshot()
        #expect(snapshot.codes != nil)
        for seed in 0..<12 {
            let query = testVector(seed * 977 + 3, Coding.dimension)
            let request = SearchRequest(queries: [query], limit: 10)
            let found = try await snapshot.searcher.search(snapshot, request)
            let wanted = try await snapshot.searcher.search(snapshot, request, codes: nil)
            #expect(found.usedCodes && found.rows == wanted.rows)
        }
    }

    @Test("Any bit of a code or of its checksum that changes is noticed, and no other record's")
    func everyBit() async throws {
        let base = try await Base()
        let file = try base.open()
        try await base.directory.database { database async throws in
            let snapshot = try await database.snapshot()
            let verifier = CodeVerifier(file, base.header)
            let all = snapshot.records.liveBits(ofPage: 1)
            #expect(try verifier.mismatches(all, ofPage: 1, snapshot) == .none)
            for slot in [128, 191, 255] {
                var wanted = PageBits.none
                wanted.insert(slot - 128)
                for offset in base.places(ofSlot: slot).joined() {
                    for bit in 0..<8 {
                        try base.flip(bit: bit, at: offset)
                        let found = try verifier.mismatches(all, ofPage: 1, snapshot)
                        if found != wanted { Issue.record("slot \(slot), byte \(offset), bit \(bit)") }
                        try base.flip(bit: bit, at: offset)
                    }
                }
            }
        }
    }

    @Test("Bits of the file that change while the store is closed change no answer", arguments: 0..<6)
    func flippedBits(_ seed: Int) async throws {
        let base = try await Base()
        var generator = SeededGenerator(seed: UInt64(seed))
        var slots: Set<Int> = []
        while slots.count < 60 { slots.insert(generator.next(below: Coding.rowCount)) }
        for slot in slots {
            let places = base.places(ofSlot: slot).flatMap { Array($0) }
            try base.flip(bit: generator.next(below: 8), at: places[generator.next(below: places.count)])
        }
        // Nobody has searched yet: the check reads the file, and leaves it to its next user.
        try await base.directory.open { store async throws in
            let report = try await store.check()
            #expect(report.databases.first?.damages.map(\.kind) == ["codes"])
            #expect(report.databases.first?.damages.first?.ids.count == slots.count)
        }
        try await base.directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
            #expect(try await database.statistics().codesMended == UInt64(slots.count))
            try await Self.expectExact(database)
        }
        try await base.directory.open { store async throws in
            try await store.expectSound()
            let database = try await store.database("a")
            try await Coding.finish(database)
            #expect(try await database.statistics().codesMended == 0)
        }
    }

    @Test("Codes that the disk put somewhere else are not believed")
    func misplaced() async throws {
        let base = try await Base()
        let file = try base.open()
        // The whole code of slot 9, its checksum included, is at slot 300 too.
        for (source, target) in zip(base.places(ofSlot: 9), base.places(ofSlot: 300)) {
            try file.writeBytes(try file.readBytes(count: source.count, at: source.lowerBound), at: target.lowerBound)
        }
        try await base.directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await database.statistics().codesMended == 1)
            #expect(try await Coding.wrongSlots(database) == [])
            try await Self.expectExact(database)
        }
    }

    @Test("Codes of earlier records, where the disk lost the writes of later ones, are not believed")
    func lostWrites() async throws {
        let base = try await Base()
        let size = Int(try base.open().size())
        let old = try base.open().readBytes(count: size, at: 0)
        try await base.directory.open { store async throws in
            let database = try await store.database("a")
            // Slots are used again: their codes are replaced by those of other records.
            for round in 1..<5 {
                try await Coding.write(0..<600, round: round, to: database)
                try await store.checkpoint()
                try await Coding.finish(database)
            }
        }
        let start = base.header.chunksOffset
        try base.open().writeBytes(Array(old[start...]), at: UInt64(start))
        try await base.directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await database.statistics().codesMended > 0)
            #expect(try await Coding.wrongSlots(database) == [])
            try await Self.expectExact(database)
        }
        try await base.directory.open { try await $0.expectSound() }
    }
}
