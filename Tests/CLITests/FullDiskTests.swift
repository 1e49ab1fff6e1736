/// A disk that is really full: a small file system in memory, which only root can mount; elsewhere the suite is skipped.
import Foundation
import Testing

@testable import NephriteCLI

/// A mounted tmpfs, unmounted when the test lets go of it.
private final class SmallDisk {
    let path: String

    init?(in directory: TemporaryDirectory, size: String) throws {
        path = directory.path("disk")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard try Self.run("mount", "-t", "tmpfs", "-o", "size=\(size)", "tmpfs", path) else { return nil }
    }

    deinit { _ = try? Self.run("umount", path) }

    /// Whether this process may mount anything.
    static let isAvailable: Bool = {
        guard getuid() == 0, let directory = try? TemporaryDirectory() else { return false }
        return ((try? SmallDisk(in: directory, size: "1m")) ?? nil) != nil
    }()

    /// Fills what is left, to the last block.
    func fill() throws {
        let file = path + "/filling"
        try Data().write(to: URL(fileURLWithPath: file))
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: file))
        let block = Data(count: 4096)
        while (try? handle.write(contentsOf: block)) != nil {}
        try? handle.close()
    }

    private static func run(_ words: String...) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}

@Suite(.enabled(if: SmallDisk.isAvailable), .timeLimit(.minutes(20))) struct FullDiskTests {
    private let directory: TemporaryDirectory
    private let disk: SmallDisk
    private var store: String { disk.path + "/store" }

    init() throws {
        directory = try TemporaryDirectory()
        disk = try #require(try SmallDisk(in: directory, size: "80m"))
    }

    private func nephrite(_ arguments: String...) throws -> NephriteProcess.Result {
        try NephriteProcess.run(arguments, in: directory)
    }

    /// An import that meets the end of the disk, and the rows it acknowledged.
    private func importUntilFull() throws -> Int {
        let row = (0..<1024).map { Float($0) }
        let bytes = SampleBytes.little(40_000) + SampleBytes.little(1024) + SampleBytes.floats(row)
        let path = try directory.write(bytes, to: "rows.fbin")
        // The rest of the rows are zeros that take no space.
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try file.truncate(atOffset: 8 + 40_000 * 4096)
        try file.close()
        let result = try nephrite(
            "import", "--store", store, "points", path, "--create", "--metric", "euclidean", "--batch-size", "100",
            "--json")
        #expect(result.exitCode == 74, "\(result.errors)")
        #expect(result.errors.contains("\"code\":\"diskFull\""))
        var acknowledgements = Acknowledgements()
        acknowledgements.take(result.output.utf8)
        return acknowledgements.total
    }

    @Test("an import that fills the disk ends with 74, and keeps exactly what it acknowledged")
    func fills() throws {
        let acknowledged = try importUntilFull()
        #expect(acknowledged > 0)
        #expect(try nephrite("count", "--store", store, "points").output == "\(acknowledged)\n")
        #expect(try nephrite("check", "--store", store).exitCode == 0)
    }

    // Opening allocated a whole log segment of 64 MiB: on a full disk nothing could be read, let alone deleted.
    @Test("a store on a disk without a free block opens, and deletes and drops work")
    func deletesOnFullDisk() throws {
        let acknowledged = try importUntilFull()
        try disk.fill()
        for row in 0..<4 {
            let deleted = try nephrite("delete", "--store", store, "points", "\(row)")
            #expect(deleted.exitCode == 0, "\(deleted.errors)")
        }
        #expect(try nephrite("count", "--store", store, "points").output == "\(acknowledged - 4)\n")
        #expect(try nephrite("check", "--store", store).exitCode == 0)
        #expect(try nephrite("drop", "--store", store, "points").exitCode == 0)
    }
}
