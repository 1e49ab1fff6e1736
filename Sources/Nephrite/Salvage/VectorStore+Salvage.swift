/// Salvage: everything in a damaged store that can be proven to be what was written, copied into a new store. The source is
/// read through an overlay, so that not a byte of the evidence changes.
import StorageFormat
import StorageIO

extension VectorStore {
    /// Copies what is whole in this store, however damaged it is, into a new one. The store must not be running.
    ///
    /// Records are judged one by one: those whose checksum is right are copied, with their ids and metadata, under new
    /// versions. They come from the data files; from the log up to its damage; and, behind that, from log records that are
    /// valid by themselves, which may take a batch or transaction apart. A catalogue that cannot be read is rebuilt from the
    /// headers of the data files. What was under way when a process died, and never acknowledged, is left out.
    ///
    /// This store's directory is only read, under a shared lock if it can be locked, and stays as it is.
    ///
    /// - Parameter directory: of the new store; it must not exist or be empty, and not lie in this store's.
    /// - Returns: for each database what was copied and what is lost, and why.
    /// - Throws: `locked` if this store is open for writing; `notAStore` if there is nothing of ours; `newerFormat`;
    ///   `invalidArgument` if the directory or a setting will not do; what creating and writing a store throws, after which the new
    ///   directory holds a part of the records and should be removed; `CancellationError`, likewise.
    /// - Complexity: reads every record twice; needs memory for the id of each.
    public func salvage(to directory: String) async throws -> SalvageReport {
        guard !Self.lies(directory, in: path) else {
            throw StoreError.argument(
                "The new store would lie in the damaged one.", remedy: "Choose a directory elsewhere.")
        }
        try configuration.validate()
        let threads = try StoreThreads(configuration)
        defer { threads.shutDown() }
        let io = IOContext(executor: threads.io, returning: configuration.environment.executor)
        let target = configuration.environment.fileSystem(directory)
        try await io.throwing { () throws(StoreError) in try Self.requireEmpty(target, directory) }
        let source = OverlayFileSystem(over: configuration.environment.fileSystem(path), readsBadSectorsAsZeros: true)
        let lock = try await io.throwing { () throws(StoreError) in
            do throws(FileSystemError) {
                try source.openRoot(createIfMissing: false)
                return try source.lockRoot(exclusive: false)
            } catch {
                throw StoreError(error)
            }
        }
        defer { lock.release() }
        let path = path
        let survey = try await io.throwing { () throws(StoreError) in try SalvageSurvey(of: source, at: path) }
        var report = SalvageReport(databases: [], damages: survey.damages)
        var configuration = configuration
        configuration.access = .readWrite
        report.databases = try await withVectorStore(at: directory, configuration: configuration) { store in
            var databases: [SalvagedDatabase] = []
            for entry in survey.entries {
                try Task.checkCancellation()
                let database = await io.run { SalvageDatabase(entry, log: survey.log, on: source) }
                databases.append(try await Self.copy(database, into: store, io))
            }
            return databases
        }
        return report
    }

    /// Copies one database in batches, each one commit.
    private static func copy(
        _ salvaged: SalvageDatabase, into store: VectorStore, _ io: IOContext
    ) async throws -> SalvagedDatabase {
        var salvaged = salvaged
        let database = try await store.createDatabase(salvaged.entry.name, options: salvaged.options)
        let batchByteCount = 8 << 20
        let rowByteCount = salvaged.options.dimension * 4 + 1_024
        let rows = min(1_000, max(1, batchByteCount / rowByteCount))
        let ids = salvaged.ids()
        for start in stride(from: 0, to: ids.count, by: rows) {
            let reader = salvaged
            let part = Array(ids[start..<min(start + rows, ids.count)])
            let records = await io.run { part.map { reader.record($0) } }
            for (id, record) in zip(part, records) where record == nil { salvaged.noteVanished(id) }
            try await database.insert(records.compactMap(\.self))
        }
        return salvaged.report
    }

    private static func requireEmpty(_ target: any FileSystem, _ directory: String) throws(StoreError) {
        do throws(FileSystemError) {
            try target.openRoot(createIfMissing: true)
            guard try target.list(.root).isEmpty else {
                throw FileSystemError(code: FileSystemError.notEmptyCode, call: .openRoot, path: directory)
            }
        } catch {
            guard error.code == FileSystemError.notEmptyCode else { throw StoreError(error) }
            throw StoreError(
                .invalidArgument, "The directory for the new store is not empty.", path: directory,
                remedy: "Name one that does not exist, or an empty one.")
        }
    }

    /// Whether a path leads to another or below it, as far as the words tell.
    private static func lies(_ path: String, in other: String) -> Bool {
        func components(_ path: String) -> [Substring] {
            path.split(separator: "/", omittingEmptySubsequences: true).filter { $0 != "." }
        }
        return path.hasPrefix("/") == other.hasPrefix("/") && components(path).starts(with: components(other))
    }
}

/// What is found out about a damaged store before its databases are looked at.
private struct SalvageSurvey: Sendable {
    var entries: [CatalogueEntry]
    var log: SalvageLog
    var damages: [Damage]

    init(of fileSystem: any FileSystem, at path: String) throws(StoreError) {
        damages = []
        var catalogue: Catalogue?
        do throws(StoreError) {
            if let (read, damagedCopies) = try CatalogueFile(fileSystem: fileSystem).read() {
                catalogue = read
                damages += damagedCopies.map {
                    .mended("Copy \($0 + 1) of 2 of the catalogue is damaged.", path: CatalogueFile.path.description)
                }
            } else {
                damages.append(
                    Damage(
                        kind: "corruption", message: "The catalogue is missing.",
                        path: CatalogueFile.path.description, offset: nil, ids: []))
            }
        } catch  where error.code != .newerFormat {
            damages.append(Damage(error))
        }
        let sequences = Self.sequences(fileSystem)
        let isClean =
            catalogue.map { $0.isCleanShutdown && (sequences.last ?? 0) < $0.nextSegmentSequence } ?? false
        log = SalvageLog()
        if !isClean, let uuid = catalogue?.storeUUID ?? Self.storeUUID(fileSystem, sequences) {
            let scan = LogScan(fileSystem: fileSystem, storeUUID: uuid, stopsAtDamage: true)
            log = SalvageLog(try scan.run(sequences: sequences))
        }
        damages += log.damages
        if !isClean, let catalogue, (sequences.last ?? 0) &+ 1 < catalogue.nextSegmentSequence {
            damages.append(
                Damage(
                    kind: "corruption", message: "The newest segment of the log is missing.",
                    path: SegmentWriter.directory.description, offset: nil, ids: []))
        }
        var found = SalvageCatalogue(fileSystem: fileSystem)
        try found.gather(catalogue, log)
        entries = found.entries
        damages += found.damages
        if catalogue == nil, entries.isEmpty, sequences.isEmpty {
            throw StoreError(
                .notAStore, "There is no catalogue, no database and no log of ours in the directory.", path: path,
                remedy: "Check the path; nothing was changed.")
        }
    }

    private static func sequences(_ fileSystem: any FileSystem) -> [UInt64] {
        let names = (try? fileSystem.list(SegmentWriter.directory)) ?? []
        return names.compactMap { SegmentHeader.sequence(fileName: $0.name) }.sorted()
    }

    /// The store's identity as its log has it.
    private static func storeUUID(_ fileSystem: any FileSystem, _ sequences: [UInt64]) -> StorageUUID? {
        for sequence in sequences.reversed() {
            guard let file = try? fileSystem.open(SegmentWriter.path(sequence), .read) else { continue }
            defer { try? file.close() }
            guard let bytes = try? file.readBytes(count: SegmentHeader.recordsOffset, at: 0) else { continue }
            let header = try? unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                try unsafe SegmentHeader.decode(bytes)
            }
            if let header { return header.storeUUID }
        }
        return nil
    }
}
