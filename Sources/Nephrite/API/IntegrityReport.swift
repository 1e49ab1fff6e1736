/// What checking a store found, as values to print or to act on.
import StorageIO

/// One thing that is damaged.
public struct Damage: Sendable, Hashable, Codable {
    /// What kind of damage it is: the name of a ``StoreError/Code``, `checksum` for a record whose bytes are not those that
    /// were written, `mended` for what was stored twice or could be derived, or the name of another contradiction.
    public var kind: String
    /// What is wrong, in a sentence.
    public var message: String
    /// The file, below the store's directory.
    public var path: String?
    /// The position in the file, in bytes.
    public var offset: UInt64?
    /// The records it concerns.
    public var ids: [String]
}

/// What checking a database found.
public struct DatabaseIntegrity: Sendable, Hashable, Codable {
    /// The database.
    public var name: String
    /// Records that were checked.
    public var recordCount: Int
    /// Bytes of vectors, ids and metadata whose checksums were checked.
    public var checkedByteCount: Int
    /// What is damaged; the first thousand findings at most.
    public var damages: [Damage]
}

/// What checking a store found.
public struct IntegrityReport: Sendable, Hashable, Codable {
    /// Each database.
    public var databases: [DatabaseIntegrity]
    /// What is damaged outside the databases: the catalogue and the log.
    public var damages: [Damage]
    /// Directories that no database claims.
    public var orphans: [String]

    /// The report of a store that cannot be opened because of `error`.
    public init(refusing error: StoreError) {
        self.init(databases: [], damages: [Damage(error)], orphans: [])
    }

    init(databases: [DatabaseIntegrity], damages: [Damage], orphans: [String]) {
        self.databases = databases
        self.damages = damages
        self.orphans = orphans
    }

    /// Whether nothing is damaged.
    public var isSound: Bool { damages.isEmpty && databases.allSatisfy(\.damages.isEmpty) }
}

extension VectorStore {
    /// Checks every database: index, checksums of all records, ids against slots, counts and fingerprint; and, as they lie
    /// in the files, the catalogue, headers, page tables and index pages, which a running store does not read again. Works
    /// on snapshots, so that reads and writes go on.
    ///
    /// The log is read and judged when the store is opened, and not here. Files are read through the system, which may
    /// answer from its memory what the disk has lost since.
    ///
    /// - Returns: what was found; damage is part of the result, not an error.
    /// - Throws: `notRunning`, `closed`, `tooManyOpenFiles` and what else keeps it from looking; `CancellationError`
    ///   between two databases.
    /// - Complexity: reads every byte of every record.
    public func check() async throws -> IntegrityReport {
        let store = try running()
        var databases: [DatabaseIntegrity] = []
        for description in await store.registry.descriptions() {
            try Task.checkCancellation()
            do {
                let database = try await database(description.name)
                let snapshot = try await database.snapshot()
                var found = await store.context.io.run { IntegrityCheck(snapshot: snapshot).run() }
                found.add(try await store.registry.cell(named: description.name).damages)
                found.add(try await database.withFile { await $0.damagesOnDisk() })
                databases.append(found)
            } catch let error as StoreError where error.code == .databaseNotFound {
                // Dropped meanwhile.
                continue
            } catch let error as StoreError where error.saysDamage {
                databases.append(
                    DatabaseIntegrity(
                        name: description.name, recordCount: 0, checkedByteCount: 0, damages: [Damage(error)]))
            }
        }
        let opening = recoveryReport
        var damages = opening?.damages ?? []
        let catalogue = CatalogueFile(fileSystem: store.context.fileSystem)
        for damage in try await store.context.io.throwing({ () throws(StoreError) in try catalogue.damages() })
        where !damages.contains(where: { $0.path == damage.path && $0.kind == damage.kind }) {
            damages.append(damage)
        }
        return IntegrityReport(databases: databases, damages: damages, orphans: opening?.orphans ?? [])
    }
}

extension CatalogueFile {
    /// What is damaged of the file as it lies on disk.
    fileprivate func damages() throws(StoreError) -> [Damage] {
        do throws(StoreError) {
            guard let (_, damagedCopies) = try read() else {
                return [Damage(.corruption("The catalogue is missing.", path: Self.path.description))]
            }
            return damagedCopies.map {
                .mended("Copy \($0 + 1) of 2 of the catalogue is damaged.", path: Self.path.description)
            }
        } catch  where error.saysDamage {
            return [Damage(error)]
        }
    }
}

extension DatabaseIntegrity {
    /// Adds what is not in the report yet: opening the file may have met the same damage.
    fileprivate mutating func add(_ more: [Damage]) {
        for damage in more where !damages.contains(where: { $0.isOfSamePlace(as: damage) }) { damages.append(damage) }
    }
}

extension Damage {
    fileprivate func isOfSamePlace(as other: Damage) -> Bool {
        kind == other.kind && path == other.path && offset == other.offset
            && (offset != nil || message == other.message)
    }
}

extension StoreError {
    /// Whether it says something about the files, rather than about the process that reads them.
    fileprivate var saysDamage: Bool { [.corruption, .notAStore, .newerFormat, .inputOutput].contains(code) }
}

extension Damage {
    /// Damage of something that is stored twice or can be derived, and was mended or made good when it was read.
    static func mended(_ message: String, path: String, offset: UInt64? = nil) -> Damage {
        Damage(kind: "mended", message: message, path: path, offset: offset, ids: [])
    }

    init(_ error: StoreError) {
        self.init(
            kind: error.code.description, message: error.message, path: error.path, offset: error.offset, ids: error.ids
        )
    }
}
