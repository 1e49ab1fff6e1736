/// The handle to a database: callers write, read and search through it; it finds the open file, or has it opened.
import StorageFormat

/// A database of a running store. Handles are cheap, and stay valid until the database is dropped or the store closes.
public final class VectorDatabase: Sendable {
    let cell: DatabaseCell
    let store: RunningStore

    init(cell: DatabaseCell, store: RunningStore) {
        self.cell = cell
        self.store = store
    }

    /// The database's name.
    public var name: String { cell.name }

    /// Its options: what it was created with, and what ``setQuantization(_:)`` changed.
    public var options: DatabaseOptions { cell.options }

    /// Runs `body` with the open file, which stays open meanwhile.
    func withFile<R>(_ body: (DatabaseFile) async throws -> R) async throws -> R {
        let file: DatabaseFile
        if let open = cell.pin() {
            file = open
        } else {
            file = try await store.registry.pinned(cell)
        }
        defer { cell.unpin() }
        return try await body(file)
    }

    /// The state as of the newest commit, to read from without waiting.
    ///
    /// Holding a snapshot keeps the space of records deleted since then from being used again, and the database's file
    /// from being closed to make room for another.
    ///
    /// - Throws: `databaseNotFound` after a drop, `closed`; what opening the file throws: `corruption`, `tooManyOpenFiles`, …
    public func snapshot() async throws -> DatabaseSnapshot {
        if let snapshot = cell.currentSnapshot() { return snapshot }
        return try await withFile { file in
            if let snapshot = cell.currentSnapshot() { return snapshot }
            return await file.makeSnapshot()
        }
    }

    /// Switches codes of the vectors on or off; durable when this returns, also for later openings.
    ///
    /// Switched on, the vectors of an existing database are encoded in the background from now on, if they are many enough
    /// for searches to gain (``StoreConfiguration/quantizationByteThreshold``); ``encodeVectors()`` says how far that is.
    /// Switched off, the file of codes is removed. What searches return does not change.
    ///
    /// - Throws: `databaseNotFound`, `closed`, `readOnly`, `diskFull`, `inputOutput`, …, and then nothing has changed;
    ///   `fenced`; `CancellationError`.
    public func setQuantization(_ quantization: Quantization) async throws {
        try await store.registry.setQuantization(quantization, of: cell)
        guard quantization == .automatic else { return }
        // The option is set; a file that cannot be opened is the next reader's to hear of.
        try? await withFile { file in
            _ = file.codes.view(forSearchOf: await file.makeSnapshot().count)
        }
    }

    /// Makes everything acknowledged so far survive a loss of power. It has something to do only for relaxed durability; the
    /// log is one for the store, so the other databases' writes are brought to disk too.
    ///
    /// - Throws: `fenced` if the disk failed, `closed`.
    public func flush() async throws { try await store.context.log.queue.synchronize() }
}
