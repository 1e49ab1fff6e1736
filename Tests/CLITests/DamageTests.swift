/// Stores whose bytes something has changed, as `nephrite check` finds them: real files, one byte flipped in each place.
import Foundation
import StorageFormat
import Testing

@testable import NephriteCLI

@Suite(.timeLimit(.minutes(20))) struct DamageTests {
    private let directory: TemporaryDirectory
    private let store: String
    private static let dataFile = "points/vectors.jvdb"

    init() throws {
        directory = try TemporaryDirectory()
        store = directory.path("store")
    }

    private func nephrite(_ arguments: String...) throws -> NephriteProcess.Result {
        try NephriteProcess.run(arguments, in: directory)
    }

    /// A store of 300 records that was shut down cleanly.
    private func makeStore() throws {
        let rows = (0..<300).map { "{\"id\":\"r\($0)\",\"vector\":[\($0),1,2,3],\"metadata\":{\"n\":\($0)}}\n" }
            .joined()
        let path = try directory.write(rows.utf8, to: "rows.ndjson")
        let result = try nephrite("import", "--store", store, "points", path, "--create", "--metric", "dot")
        #expect(result.exitCode == 0, "\(result.errors)")
    }

    /// A store whose process was killed: everything is in the log, and nothing in the data file.
    private func makeKilledStore() throws -> String {
        #expect(try nephrite("create", "--store", store, "points", "--dimension", "2").exitCode == 0)
        let feeder = try Feeder(store: store)
        for _ in 0..<5 { #expect(try feeder.feed() != nil) }
        feeder.send(SIGKILL)
        #expect(try feeder.finish() == -SIGKILL)
        let names = try FileManager.default.contentsOfDirectory(atPath: store + "/wal").filter { $0.hasSuffix(".wal") }
        return "wal/" + (try #require(names.max()))
    }

    private func bytes(_ file: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: "\(store)/\(file)")))
    }

    @Test("salvage copies what is whole and ends with 65 when something is lost")
    func salvage() throws {
        try makeStore()
        let target = directory.path("rescued")
        let whole = try nephrite("salvage", "--store", store, "--to", target)
        #expect(whole.exitCode == 0, "\(whole.errors)")
        #expect(whole.output.contains("points: 300 records copied"))
        #expect(try nephrite("count", "--store", target, "points").output == "300\n")
        #expect(try nephrite("salvage", "--store", store, "--to", target).exitCode == 64)
        // The first vector of the first slot.
        try flip(Self.dataFile, at: 65_536 + 5)
        let other = directory.path("other")
        let partial = try nephrite("salvage", "--store", store, "--to", other, "--json")
        #expect(partial.exitCode == 65)
        #expect(partial.output.contains("\"recovered\":299") && partial.output.contains("\"lostCount\":1"))
        #expect(try nephrite("check", "--store", other).exitCode == 0)
    }

    private func flip(_ file: String, at offset: Int) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: "\(store)/\(file)"))
        defer { try? handle.close() }
        try handle.seek(toOffset: UInt64(offset))
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: Data([byte ^ 0x10]))
    }

    /// The newest header of the data file.
    private func header() throws -> FileHeader {
        let bytes = try bytes(Self.dataFile)
        return try unsafe bytes.withUnsafeBytes { bytes in
            let pages = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<(4 * FileHeader.byteCount)])
            return try unsafe FileHeader.newest(pages: pages, fileSize: UInt64(bytes.count)).header
        }
    }

    /// The offset of the newest generation's part of a kind of area; it is the first one's.
    private func offset(of kind: Extent.Kind) throws -> Int {
        let header = try header()
        let extent = try #require(header.extents.first { $0.kind == kind })
        let isPaired = kind != .vectors && kind != .payload
        let units = Int(extent.startUnit) + (isPaired ? Int(header.generation % 2) * Int(extent.unitCount) / 2 : 0)
        return units * FormatLimits.extentUnitByteCount
    }

    /// Expects 65 from both forms of `check`, with all of `words` in both.
    private func expectDamage(_ words: [String], _ place: Comment) throws {
        let copy = store
        let json = try nephrite("check", "--store", copy, "--json")
        #expect(json.exitCode == 65, place)
        #expect(json.output.hasPrefix("{\"sound\":false,"), place)
        for word in words { #expect(json.output.contains(word), "\(place): \(json.output)") }
        #expect(json.errors.hasPrefix("{\"error\":{\"code\":\"corruption\",\"exitCode\":65,"), place)
    }

    @Test("a sound store ends check with 0, clean or killed, and stays as it is")
    func sound() throws {
        try makeStore()
        let before = try bytes(Self.dataFile)
        let result = try nephrite("check", "--store", store)
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.output.hasPrefix("points: sound, 300 records, "))
        #expect(try bytes(Self.dataFile) == before)
    }

    @Test("a killed store is sound, and all five rows are there")
    func soundAfterKill() throws {
        _ = try makeKilledStore()
        let result = try nephrite("check", "--store", store)
        #expect(result.exitCode == 0, "\(result.output) \(result.errors)")
        #expect(try nephrite("count", "--store", store, "points").output == "5\n")
    }

    @Test(
        "a byte flipped in an area of the data file is found, and named",
        arguments: [
            (Extent.Kind.vectors, 0, ["checksum", "\"r0\""]), (.vectors, 64 * 7 + 5, ["checksum", "\"r7\""]),
            (.payload, 0, ["checksum", "its id is damaged"]), (.payload, 2, ["checksum", "slot 0"]),
            (.recordTable, 40, ["recordPage", "Index page 0"]), (.recordTable, 4096, ["recordPage", "Index page 1"]),
            (.pageTable, 0, ["page table"]), (.directory, 1, ["directoryPage", "rebuilt"]),
        ])
    func dataFile(_ kind: Extent.Kind, _ position: Int, _ words: [String]) throws {
        try makeStore()
        try flip(Self.dataFile, at: offset(of: kind) + position)
        try expectDamage(words + [Self.dataFile], "\(kind) at \(position)")
    }

    // The id directory and the second copies can be done without, so that everything is still there; the damage is
    // reported all the same, because it is the first sign of a disk that fails.
    @Test("what is stored twice is used from its twin, and reported", arguments: [0, 4095, 4096, 8192, 12_288])
    func header(_ offset: Int) throws {
        try makeStore()
        try flip(Self.dataFile, at: offset)
        try expectDamage(["header", Self.dataFile], "header at \(offset)")
        #expect(try nephrite("count", "--store", store, "points").output == "300\n")
        // Opening the file has mended it.
        #expect(try nephrite("check", "--store", store).exitCode == 0)
    }

    @Test("both copies of the newest header are too much: nothing older is passed off as the database")
    func bothHeaders() throws {
        try makeStore()
        let header = try header()
        let first = FileHeader.firstPage(generation: header.generation) * FileHeader.byteCount
        try flip(Self.dataFile, at: first + 100)
        try flip(Self.dataFile, at: first + FileHeader.byteCount + 100)
        try expectDamage(["header", Self.dataFile], "both headers")
        #expect(try nephrite("count", "--store", store, "points").exitCode == 65)
    }

    @Test("a data file that is cut short or gone is named", arguments: [0, 10_000, 100_000, nil])
    func truncated(_ byteCount: Int?) throws {
        try makeStore()
        let path = "\(store)/\(Self.dataFile)"
        if let byteCount {
            let handle = try #require(FileHandle(forUpdatingAtPath: path))
            try handle.truncate(atOffset: UInt64(byteCount))
            try handle.close()
        } else {
            try FileManager.default.removeItem(atPath: path)
        }
        #expect(try nephrite("check", "--store", store).exitCode == 65)
    }

    @Test("one copy of the catalogue is mended and reported once", arguments: [8, 90, 4100])
    func catalogue(_ offset: Int) throws {
        try makeStore()
        try flip("CATALOG", at: offset)
        try expectDamage(["CATALOG", "mended"], "catalogue at \(offset)")
        #expect(try nephrite("check", "--store", store).exitCode == 0)
        #expect(try nephrite("count", "--store", store, "points").output == "300\n")
    }

    @Test("both copies of the catalogue are too much: exit code 65, and not a new store")
    func bothCatalogues() throws {
        try makeStore()
        try flip("CATALOG", at: 90)
        try flip("CATALOG", at: 4096 + 90)
        try expectDamage(["CATALOG"], "both catalogues")
        try FileManager.default.removeItem(atPath: store + "/CATALOG")
        let result = try nephrite("check", "--store", store)
        #expect(result.exitCode == 65)
        #expect(result.output.contains("no CATALOG"))
    }

    /// The end of the last commit that a later record declares to have been on disk. The process may have been killed
    /// before it wrote the sync marker behind the last commit; damage to that one cannot be told from a torn write.
    private func provablySyncedEnd(of segment: [UInt8]) throws -> Int {
        try unsafe segment.withUnsafeBytes { bytes in
            let saltSeed = try unsafe SegmentHeader.decode(bytes).saltSeed
            var position = SegmentHeader.recordsOffset
            var commits: [(lsn: UInt64, end: Int)] = []
            var synced: UInt64 = 0
            while case .record(let header, _, let next) = unsafe LogCodec.read(bytes, at: position, saltSeed: saltSeed)
            {
                if header.type == .commit { commits.append((header.lsn, next)) }
                synced = max(synced, header.syncedUpTo)
                position = next
            }
            return commits.last { $0.lsn <= synced }?.end ?? 0
        }
    }

    @Test("a byte flipped in the log after a kill is found, and what was acknowledged is not cut off silently")
    func log() throws {
        let segment = try makeKilledStore()
        let end = try provablySyncedEnd(of: bytes(segment))
        #expect(end > SegmentHeader.recordsOffset)
        for offset in stride(from: SegmentHeader.recordsOffset + 8, to: end, by: 200) {
            try flip(segment, at: offset)
            try expectDamage([segment, "log"], "log at \(offset)")
            try flip(segment, at: offset)
        }
        #expect(try nephrite("count", "--store", store, "points").output == "5\n")
    }

    @Test("one copy of a segment's header is enough, and its damage is reported", arguments: [16, 4096 + 16])
    func segmentHeader(_ offset: Int) throws {
        let segment = try makeKilledStore()
        try flip(segment, at: offset)
        try expectDamage([segment, "header"], "segment header at \(offset)")
        #expect(try nephrite("count", "--store", store, "points").output == "5\n")
    }

    // Found by removing the log of a killed store: it opened as if nothing had ever been imported, and check called
    // it sound.
    @Test("a killed store whose log is gone is damaged, not empty")
    func logIsGone() throws {
        let segment = try makeKilledStore()
        try FileManager.default.removeItem(atPath: "\(store)/\(segment)")
        try expectDamage(["log", "missing"], "no log")
        #expect(try nephrite("count", "--store", store, "points").exitCode == 65)
    }
}
