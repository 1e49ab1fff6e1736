/// The task that encodes vectors in the background: it takes databases from the coding queue in turn, and has each do a
/// small step of work on an I/O thread. `run()` owns it.
import StorageIO

struct CodeEncoder: Sendable {
    /// How long commits are let gather once everything is encoded: those that come one by one are encoded together, and
    /// searches compare their vectors as they are meanwhile.
    private static let pauseNanoseconds: UInt64 = 5_000_000

    let context: StoreContext

    /// Serves requests until cancelled.
    func run() async {
        let clock = context.configuration.environment.clock
        for await _ in context.coding.wakeups {
            while !Task.isCancelled, context.log.queue.failure == nil {
                let cells = context.coding.takeAll()
                if cells.isEmpty { break }
                if await serve(cells) { continue }
                guard (try? await clock.sleep(nanoseconds: Self.pauseNanoseconds)) != nil else { return }
            }
        }
    }

    /// Does a step for each of the databases; whether there is more to do at once.
    private func serve(_ cells: [DatabaseCell]) async -> Bool {
        var isBusy = false
        for cell in cells {
            if Task.isCancelled { return false }
            if context.coding.isHeldBack {
                context.coding.request(cell)
            } else if await advance(cell) {
                context.coding.request(cell)
                isBusy = true
            }
        }
        return isBusy
    }

    /// Does a step for one database; whether there is more to do.
    ///
    /// The file is pinned meanwhile: it is neither closed nor dropped under the encoder's hands. A snapshot is held for no
    /// longer than the step, so that space is not kept from being used again.
    private func advance(_ cell: DatabaseCell) async -> Bool {
        guard let file = cell.pin() else { return false }
        defer { cell.unpin() }
        guard file.codes.isWanted else { return false }
        switch await step(file) {
        case .more(let wantsStamp):
            if wantsStamp { await file.stampCodes() }
            return true
        case .idle:
            await file.stampCodes()
            return false
        case .stopped, .full:
            return false
        }
    }

    private func step(_ file: DatabaseFile) async -> CodeStore.Progress {
        let work = await file.takeCodingWork()
        let codes = file.codes
        return await context.io.run { codes.advance(work) }
    }
}

/// What a step of encoding starts from.
struct CodingWork: Sendable {
    /// The newest state; what is live in it stays as it is while the step goes on.
    let snapshot: DatabaseSnapshot
    /// Pages of the record table with records stored since work was taken last.
    let pages: PageMarks
    /// The newest durable checkpoint.
    let checkpointLSN: UInt64
}

extension DatabaseFile {
    /// The newest state and what was stored since the last call. From the first call on, what is stored is noted; all
    /// before it is in the snapshot.
    func takeCodingWork() -> CodingWork {
        notesStoredPages = true
        defer { storedPages = PageMarks() }
        return CodingWork(snapshot: makeSnapshot(), pages: storedPages, checkpointLSN: checkpointLSN)
    }

    /// Notes what a commit stored, once it is in the index.
    func noteStored(_ batch: OperationBatch) {
        guard notesStoredPages, codes.followsWrites else { return }
        for operation in batch.operations where operation.kind == .store {
            storedPages.insert(Int(operation.slot) / RecordTable.entriesPerPage)
        }
        context.coding.request(cell)
    }

    /// Makes the codes durable and says so in their file, if the newest state is in a durable checkpoint: a stamp must
    /// never speak of commits that a crash may undo.
    func stampCodes() async {
        guard codes.hasUnstamped, lastCommitLSN <= checkpointLSN, context.log.queue.failure == nil else { return }
        await stampCodes(asOf: makeSnapshot())
    }

    /// The same as of a snapshot that is in a durable checkpoint.
    func stampCodes(asOf snapshot: DatabaseSnapshot) async {
        let codes = codes
        await context.io.run { codes.stamp(asOf: snapshot) }
    }
}
