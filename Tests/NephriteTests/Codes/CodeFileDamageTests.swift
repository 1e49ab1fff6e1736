// Code files that are damaged, cut short, or somebody else's: they are seen through and made anew, and the worst that
// happens to a search is that it has no codes for a while.
import StorageFormat
import StorageIO
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct CodeFileDamageTests {
    private static let options = DatabaseOptions(dimension: Coding.dimension)
    private static let path = StoragePath("a", CodeFile.name)

    /// A closed store whose database has codes and a second stamp, with what opening its code file takes.
    private struct Base {
        let directory: TestStore
        let identity: DatabaseIdentity
        let checkpointLSN: UInt64
        let bytes: [UInt8]
        let header: CodeFileHeader

        var fileSystem: MemoryFileSystem { directory.memory! }

        static func make() async throws -> Base {
            let directory = Coding.store()
            var identity: DatabaseIdentity?
            var version: UInt64 = 0
            try await directory.open { store in
                let database = try await store.createDatabase("a", options: CodeFileDamageTests.options)
                try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
                try await Coding.finish(database)
                try await store.checkpoint()
                // Both copies of the header have something to say.
                try await Coding.write(0..<9, round: 1, to: database)
                try await Coding.finish(database)
                let snapshot = try await database.snapshot()
                identity = snapshot.identity
                version = snapshot.version
            }
            let file = try directory.memory!.open(CodeFileDamageTests.path, .read)
            let bytes = try file.readBytes(count: Int(try file.size()), at: 0)
            let header = try unsafe bytes.withUnsafeBytesTyped { (raw) throws(FormatError) in
                try unsafe CodeFileHeader.newest(raw, fileSize: UInt64(raw.count))
            }
            #expect(header.generation >= 3 && header.codedThroughLSN == version)
            return Base(
                directory: directory, identity: try #require(identity), checkpointLSN: version, bytes: bytes,
                header: header)
        }

        /// Puts other bytes in the file's place.
        func replace(_ bytes: [UInt8]) throws {
            try fileSystem.unlink(CodeFileDamageTests.path)
            try fileSystem.open(CodeFileDamageTests.path, .createNew).writeBytes(bytes, at: 0)
        }

        /// The generation that is believed; nil if the file is useless.
        func opened(_ identity: DatabaseIdentity? = nil, checkpointLSN: UInt64? = nil) throws -> UInt64? {
            let opening = try CodeFile.open(
                identity ?? self.identity, checkpointLSN: checkpointLSN ?? self.checkpointLSN, on: fileSystem,
                reservation: 1 << 16)
            guard case .ready(let file) = opening else { return nil }
            try file.file.close()
            return file.header.generation
        }
    }

    @Test("A change to any byte of the header or the centre is noticed")
    func everyByte() async throws {
        let base = try await Base.make()
        let newest = base.header.generation
        // Only as much of the file as one chunk, so that the mapping that each opening makes is short.
        let file = try base.fileSystem.open(Self.path, .readWrite)
        #expect(try base.opened() == newest)
        for offset in 0..<CodeFileHeader.centreOffset + Coding.dimension * 4 {
            try file.writeBytes([base.bytes[offset] ^ 0x10], at: UInt64(offset))
            let copy = offset / CodeFileHeader.byteCount
            let believed = try base.opened()
            let wanted: UInt64? = copy == 2 ? nil : copy == base.header.copy ? newest - 1 : newest
            if believed != wanted { Issue.record("byte \(offset): generation \(String(describing: believed))") }
            if copy < 2 {
                let other = offset % CodeFileHeader.byteCount + (1 - copy) * CodeFileHeader.byteCount
                try file.writeBytes([base.bytes[other] ^ 1], at: UInt64(other))
                if try base.opened() != nil { Issue.record("byte \(offset) of both copies") }
                try file.writeBytes([base.bytes[other]], at: UInt64(other))
            }
            try file.writeBytes([base.bytes[offset]], at: UInt64(offset))
        }
    }

    @Test("A file of another database, an older incarnation, another size of vector or a later checkpoint is useless")
    func foreign() async throws {
        let base = try await Base.make()
        func identity(
            uuid: StorageUUID? = nil, incarnation: UInt64? = nil, dimension: Int = Coding.dimension
        ) -> DatabaseIdentity {
            let old = base.identity
            return DatabaseIdentity(
                number: old.number, name: old.name, options: DatabaseOptions(dimension: dimension),
                uuid: uuid ?? old.uuid, incarnation: incarnation ?? old.incarnation, hashKey: old.hashKey,
                salt: old.salt, createdAt: old.createdAt, stride: old.stride)
        }
        #expect(try base.opened(identity()) == base.header.generation)
        #expect(try base.opened(identity(uuid: StorageUUID(high: 1, low: 2))) == nil)
        #expect(try base.opened(identity(incarnation: base.identity.incarnation &+ 1)) == nil)
        #expect(try base.opened(identity(dimension: Coding.dimension + 1)) == nil)
        // The data file was put back to an earlier state, whose later commits will be others.
        #expect(try base.opened(checkpointLSN: base.checkpointLSN - 1) == nil)
    }

    @Test("A file that is cut short is believed as far as it is whole, or not at all")
    func truncated() async throws {
        let base = try await Base.make()
        let header = base.header
        let needed = header.chunksOffset + header.codedChunkCount * header.chunkByteCount
        for length in [0, 1, 100, 4_095, 4_096, 8_191, 8_192, 8_200, 65_535, 65_536, needed - 65_536, needed - 1] {
            try base.replace(Array(base.bytes[..<length]))
            #expect(try base.opened() == nil, "\(length) bytes")
        }
        try base.replace(Array(base.bytes[..<needed]))
        #expect(try base.opened() == header.generation)
    }

    @Test("Whatever lies in its place, the database opens, and gets the codes of its vectors", arguments: 0..<8)
    func madeAnew(_ kind: Int) async throws {
        let base = try await Base.make()
        var bytes = base.bytes
        switch kind {
        case 0: bytes = []
        case 1: bytes = [UInt8](repeating: 0, count: bytes.count)
        case 2: bytes = [UInt8](repeating: 0xFF, count: 100_000)
        case 3: bytes.removeLast(70_000)
        case 4: for copy in 0..<2 { bytes[copy * 4_096 + 30] ^= 1 }
        case 5: bytes[8_195] ^= 1
        case 6: bytes[base.header.copy * 4_096 + 48] ^= 1
        default: break
        }
        try base.replace(bytes)
        try await base.directory.database { database async throws in
            try await Coding.finish(database)
            #expect(try await Coding.wrongSlots(database) == [])
            try await Coding.write(0..<200, round: 2, to: database)
            try await Coding.finish(database)
            #expect(try await database.statistics().codingFailures == 0)
        }
        try await base.directory.open { try await $0.expectSound() }
    }

    @Test("A file that a newer release wrote is left as it is, and the database has no codes")
    func newer() async throws {
        let base = try await Base.make()
        var page = base.header.encode()
        page[4] = 9
        page[6] = 9
        let seed = CodeFileHeader.checksumSeed(copy: base.header.copy)
        let checksum = unsafe page[..<4_092].withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: seed) }
        unsafe withUnsafeBytes(of: checksum) { unsafe page.replaceSubrange(4_092..<4_096, with: $0) }
        var bytes = base.bytes
        bytes.replaceSubrange(base.header.copy * 4_096..<(base.header.copy + 1) * 4_096, with: page)
        try base.replace(bytes)
        try await base.directory.database { database async throws in
            for _ in 0..<50 {
                _ = try await database.search(testVector(0, Coding.dimension), k: 1)
                await Task.yield()
            }
            try await Coding.write(0..<200, round: 2, to: database)
            #expect(try await database.snapshot().codes == nil)
            #expect(try await database.statistics().codingProgress == nil)
        }
        #expect(try base.fileSystem.bytes("a", CodeFile.name, count: bytes.count) == bytes)
    }
}
