/// The actor that knows which databases there are and which of their files are open: it creates, lists and drops, opens
/// files on first use, and closes the least recently used when too many are open.
import StorageFormat
import StorageIO
import Synchronization

actor StoreRegistry {
    nonisolated let context: StoreContext
    private var catalogue: Catalogue
    private var cells: [UInt32: DatabaseCell] = [:]
    private var numbers: [String: UInt32] = [:]
    /// Databases that recovery found damaged; they can be dropped, and nothing else.
    private var failures: [UInt32: StoreError] = [:]
    /// Databases whose file is being opened or closed right now.
    private var inTransition: Set<UInt32> = []
    private var openNumbers: Set<UInt32> = []
    private var isChangingCatalogue = false
    private var waiters: [CheckedContinuation<Void, Never>] = []
    /// Who waits for a file to be closed.
    nonisolated let room = RoomQueue()
    /// Names of dropped databases whose directory could not be moved away yet.
    private var leftBehind: [String: UInt32] = [:]
    private(set) var isClosing = false

    init(context: StoreContext, catalogue: Catalogue, failures: [(UInt32, StoreError)]) {
        self.context = context
        self.catalogue = catalogue
        for (number, error) in failures { self.failures[number] = error }
        for entry in catalogue.entries {
            cells[entry.number] = DatabaseCell(entry, room: room)
            numbers[entry.name] = entry.number
        }
    }

    private func waitForChange() async { await withCheckedContinuation { waiters.append($0) } }

    private func wakeWaiters() {
        let woken = waiters
        waiters = []
        for waiter in woken { waiter.resume() }
    }

    // MARK: Transitions

    /// Whether a database's file is being opened or closed, or its place in the catalogue changed, right now.
    func isInTransition(_ cell: DatabaseCell) -> Bool { inTransition.contains(cell.number) }

    func beginTransition(_ cell: DatabaseCell) { inTransition.insert(cell.number) }

    /// What waited for the end of it goes on; the file may be closed to make room from here on, or has left its place.
    func endTransition(_ cell: DatabaseCell) {
        inTransition.remove(cell.number)
        wakeWaiters()
        room.signal()
    }

    /// The file is not open any more, or was never opened.
    func noteClosed(_ cell: DatabaseCell) { openNumbers.remove(cell.number) }

    // MARK: Names

    func cell(named name: String) throws(StoreError) -> DatabaseCell {
        if isClosing { throw .closed(context.path) }
        guard let number = numbers[name], let cell = cells[number] else { throw .noDatabase(name) }
        return cell
    }

    func cell(numbered number: UInt32) -> DatabaseCell? { cells[number] }

    func descriptions() -> [DatabaseDescription] { catalogue.entries.compactMap { cells[$0.number]?.description } }

    /// Whether recovery could not bring some database up to date.
    var hasDamagedDatabases: Bool { !failures.isEmpty }

    var openFileCount: Int { openNumbers.count }

    /// The cells of databases whose files are open, in the order of their numbers.
    func openCells() -> [DatabaseCell] { openNumbers.sorted().compactMap { cells[$0] } }

    func allCells() -> [DatabaseCell] { cells.keys.sorted().compactMap { cells[$0] } }

    // MARK: Opening and closing

    /// The open file of a database, pinned: the caller calls `unpin()` on the cell when done.
    ///
    /// Callers that arrive while a file is being opened wait for that one open.
    func pinned(_ cell: DatabaseCell) async throws -> DatabaseFile {
        let started = context.configuration.environment.clock.monotonicNanoseconds()
        while true {
            try check(cell)
            if let file = cell.pin() {
                cell.noteUse(context.useClock.load(ordering: .relaxed))
                return file
            }
            if isInTransition(cell) {
                try Task.checkCancellation()
                await waitForChange()
                continue
            }
            beginTransition(cell)
            defer { endTransition(cell) }
            try await makeRoom(since: started)
            try check(cell)
            try await open(cell)
        }
    }

    private func check(_ cell: DatabaseCell) throws(StoreError) {
        switch cell.availability {
        case .available:
            if isClosing { throw .closed(context.path) }
            if let failure = failures[cell.number] { throw failure }
        case .dropped: throw .noDatabase(cell.name)
        case .storeClosed: throw .closed(context.path)
        }
    }

    private func open(_ cell: DatabaseCell) async throws {
        guard let entry = catalogue.entries.first(where: { $0.number == cell.number }) else {
            throw StoreError.noDatabase(cell.name)
        }
        let loader = DatabaseLoader(
            entry: entry, fileSystem: context.fileSystem, reservation: context.configuration.addressSpaceReservation,
            purpose: context.configuration.access == .readOnly ? .reading : .use)
        // Counted as open from here on, so that several opens at once do not exceed the limit together.
        openNumbers.insert(cell.number)
        do {
            let loaded = try await context.io.throwing { () throws(StoreError) in try loader.load() }
            let file = DatabaseFile(loaded, cell: cell, context: context)
            cell.damages = loaded.damages
            context.log.retention.noteOpened(database: cell.number, checkpointLSN: loaded.checkpointLSN)
            cell.open(file, snapshot: await file.makeSnapshot())
        } catch {
            noteClosed(cell)
            throw error
        }
        cell.noteUse(context.useClock.wrappingAdd(1, ordering: .relaxed).newValue)
        context.metrics.opens.add(1)
    }

    // MARK: Creating and dropping

    private func lockCatalogue() async throws {
        while isChangingCatalogue { await waitForChange() }
        if isClosing { throw StoreError.closed(context.path) }
        isChangingCatalogue = true
    }

    private func unlockCatalogue() {
        isChangingCatalogue = false
        wakeWaiters()
    }

    func create(_ name: String, options: DatabaseOptions) async throws -> DatabaseCell {
        try context.requireWritable()
        try Self.validate(name, options)
        try Task.checkCancellation()
        try await lockCatalogue()
        defer { unlockCatalogue() }
        guard numbers[name] == nil else {
            throw StoreError(
                .databaseExists, "There is a database of that name.", database: name,
                remedy: "Use the one there is, drop it first, or choose another name.")
        }
        try await moveLeftBehind(name)
        let environment = context.configuration.environment
        let entry = CatalogueEntry(
            number: catalogue.nextDatabaseNumber, name: name, dimension: options.dimension,
            metric: options.metric.format, durability: options.durability.format,
            quantization: options.quantization.format, uuid: .random(environment.random),
            createdAt: environment.clock.wallNanoseconds(), generation: DatabaseDirectory.firstGeneration,
            indexedFields: try options.canonicalFields(database: name))
        catalogue.nextDatabaseNumber += 1
        let directory = DatabaseDirectory(fileSystem: context.fileSystem)
        let hashKey = IDHashKey(k0: environment.random.next(), k1: environment.random.next())
        let incarnation = environment.random.next()
        let context = context
        try await context.io.throwing { () throws(StoreError) in
            do throws(FileSystemError) {
                try directory.create(entry, hashKey: hashKey, incarnation: incarnation)
            } catch {
                // What the sync of a directory loses may be anybody's name (O8).
                if error.call == .synchronizeDirectory { context.fence(StoreError(error, database: name)) }
                throw StoreError.creating(error, name: name)
            }
        }
        let record = LogBuffer(capacity: 512)
        record.appendRecord(.createDatabase, database: 0, body: entry.encode())
        do {
            catalogue.catalogueLSN = try await context.commitAdministration(record)
        } catch {
            // Unless the commit is certainly not in the log, the directory must stay: the next open may find it there.
            if (error as? StoreError)?.code == .diskFull {
                _ = await context.io.run { try? directory.removeUnclaimed(name) }
            }
            throw error
        }
        catalogue.entries.append(entry)
        catalogue.entries.sort { $0.name < $1.name }
        let cell = DatabaseCell(entry, room: room)
        cells[entry.number] = cell
        numbers[name] = entry.number
        await writeCatalogue()
        return cell
    }

    func drop(_ name: String) async throws {
        try context.requireWritable()
        try Task.checkCancellation()
        try await lockCatalogue()
        defer { unlockCatalogue() }
        let cell = try cell(named: name)
        while isInTransition(cell) { await waitForChange() }
        beginTransition(cell)
        defer { endTransition(cell) }
        // Writes under way finish; readers keep what they have mapped.
        cell.refusePins(.dropped)
        await cell.waitUntilUnpinned()
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.dropBeforeLog) {
                let (directory, number) = (DatabaseDirectory(fileSystem: context.fileSystem), cell.number)
                _ = await context.io.run { try? directory.moveToTrash(name: name, number: number) }
            }
        #endif
        let record = LogBuffer(capacity: 256)
        record.appendRecord(.deleteDatabase, database: 0, body: DeleteDatabaseBody(number: cell.number).encode())
        do {
            catalogue.catalogueLSN = try await context.commitAdministration(record)
        } catch {
            cell.refusePins(.available)
            throw error
        }
        catalogue.entries.removeAll { $0.number == cell.number }
        cells[cell.number] = nil
        numbers[name] = nil
        failures[cell.number] = nil
        openNumbers.remove(cell.number)
        if let file = cell.takeFile(.dropped) { try? await file.close() }
        context.log.retention.forget(database: cell.number)
        context.generations.forget(database: cell.number)
        let directory = DatabaseDirectory(fileSystem: context.fileSystem)
        let number = cell.number
        // The drop is in the log; what fails here is finished when the name is used again or the store opened next.
        let isMoved = await context.io.run { (try? directory.moveToTrash(name: name, number: number)) != nil }
        if !isMoved { leftBehind[name] = number }
        await writeCatalogue()
        _ = await context.io.run { try? directory.emptyTrash(number: number) }
    }

    /// Changes whether a database wants codes, in the catalogue first. No commit depends on it, so the log has no record of it.
    func setQuantization(_ quantization: Quantization, of cell: DatabaseCell) async throws {
        try context.requireWritable()
        try Task.checkCancellation()
        try await lockCatalogue()
        defer { unlockCatalogue() }
        // A file on its way in might have looked at the option already.
        while isInTransition(cell) { await waitForChange() }
        try check(cell)
        if let failure = context.log.queue.failure { throw failure }
        guard let index = catalogue.entries.firstIndex(where: { $0.number == cell.number }) else {
            throw StoreError.noDatabase(cell.name)
        }
        let old = catalogue.entries[index].quantization
        guard old != quantization.format else { return }
        beginTransition(cell)
        defer { endTransition(cell) }
        catalogue.entries[index].quantization = quantization.format
        if let failure = await writeCatalogue() {
            catalogue.entries[index].quantization = old
            throw StoreError(failure, database: cell.name)
        }
        cell.quantization = quantization
        if let file = cell.pin() {
            await context.io.run { file.codes.apply(quantization) }
            cell.unpin()
        } else if quantization == .none {
            // Nobody opens it meanwhile.
            let fileSystem = context.fileSystem
            let path = StoragePath(cell.name, CodeFile.name)
            await context.io.run { try? fileSystem.unlink(path) }
        }
    }

    /// Moves the directory of a dropped database out of the way of a new one of its name.
    private func moveLeftBehind(_ name: String) async throws {
        guard let number = leftBehind[name] else { return }
        let directory = DatabaseDirectory(fileSystem: context.fileSystem)
        try await context.io.throwing { () throws(StoreError) in
            do throws(FileSystemError) {
                try directory.moveToTrash(name: name, number: number)
                try directory.emptyTrash(number: number)
            } catch {
                throw StoreError(error, database: name)
            }
        }
        leftBehind[name] = nil
    }

    private static func validate(_ name: String, _ options: DatabaseOptions) throws(StoreError) {
        guard DatabaseName.isValid(name), !["wal", "lock", "catalog"].contains(name) else {
            throw StoreError(
                .invalidName, "\"\(name.prefix(80))\" cannot name a database.",
                remedy:
                    "Use 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit; wal, lock and catalog are taken."
            )
        }
        guard (1...FormatLimits.dimension).contains(options.dimension) else {
            throw .argument(
                "The dimension is \(options.dimension).", remedy: "Use 1 to \(FormatLimits.dimension).", database: name)
        }
        if case .relaxed(let interval) = options.durability, interval < .milliseconds(1) || interval > .seconds(3_600) {
            throw .argument(
                "The relaxed interval is \(interval).", remedy: "Use 1 millisecond to 1 hour.", database: name)
        }
    }

    /// Brings the file up to date with what the log has already made durable. If that fails, the log is kept from
    /// where the file is, and the next change tries again.
    @discardableResult
    private func writeCatalogue() async -> FileSystemError? {
        let file = CatalogueFile(fileSystem: context.fileSystem)
        catalogue.generation += 1
        let current = catalogue
        let failure = await context.io.run { () -> FileSystemError? in
            do throws(FileSystemError) {
                try file.write(current)
                return nil
            } catch {
                return error
            }
        }
        if let failure, failure.call == .synchronizeDirectory { context.fence(StoreError(failure)) }
        let written = failure == nil
        context.log.retention.noteCommit(database: 0, lsn: current.catalogueLSN)
        if written {
            context.log.retention.noteCheckpoint(database: 0, lsn: current.catalogueLSN)
            context.log.retention.noteCheckpoint(database: 0, lsn: current.catalogueLSN)
        }
        return failure
    }

    // MARK: Shutdown

    /// Refuses new work and waits for what is under way.
    func beginClosing() async {
        isClosing = true
        wakeWaiters()
        room.end()
        while isChangingCatalogue || !inTransition.isEmpty { await waitForChange() }
        for cell in allCells() {
            cell.refusePins(.storeClosed)
            await cell.waitUntilUnpinned()
        }
    }

    /// Closes every file.
    func closeFiles() async {
        for cell in allCells() {
            if let file = cell.takeFile(.storeClosed) { try? await file.close() }
        }
        openNumbers = []
    }

    /// The catalogue as it stands.
    func currentCatalogue() -> Catalogue { catalogue }
}

extension DatabaseCell {
    convenience init(_ entry: CatalogueEntry, room: RoomQueue) {
        self.init(
            number: entry.number, name: entry.name, options: DatabaseOptions(entry), uuid: entry.uuid.description,
            createdAt: entry.createdAt, room: room)
    }
}

extension StoreError {
    fileprivate static func creating(_ cause: FileSystemError, name: String) -> StoreError {
        guard cause.isAlreadyExists || cause.codeName == "ENOTEMPTY" else { return StoreError(cause, database: name) }
        return StoreError(
            .databaseExists, "The store holds a directory of that name that no database claims.", database: name,
            path: name, remedy: "Look into it, then move it away.", errorNumber: cause.code)
    }
}
