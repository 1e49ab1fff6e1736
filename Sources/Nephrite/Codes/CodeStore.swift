/// The codes of an open database: decides whether there are any, keeps the bits of which slots have one, and hands views
/// to searches. The encoder has it work in steps; the database actor tells it which slots are handed out again.
import StorageFormat
import StorageIO
import Synchronization

/// Nothing here is needed for durability: what fails ends the codes of this database until it is opened again, and
/// searches go on without.
final class CodeStore: Sendable {
    /// Rows that the centre is the mean of; a database of fewer has no codes.
    static let minimumRowCount = 1_000
    /// How long a full disk is left alone.
    static let retryNanoseconds: UInt64 = 30_000_000_000

    enum Phase: Sendable {
        /// The database wants no codes, or a newer release made them.
        case off
        /// Nobody has searched for long enough to be worth it.
        case idle
        /// The encoder was asked to open the file or to make it.
        case requested
        case open
        /// The store is only read: what the file has was looked at, nothing is encoded.
        case settled
        /// The disk has no room for more codes than there are, if any; a search asks again after a while.
        case full
        /// A call on the file failed.
        case failed
        case closed
    }

    /// What the file is used for at one moment.
    struct Usage: Sendable {
        var phase: Phase
        /// Bytes of the file, 0 while it is not open.
        var byteCount: Int
        /// Whether searches are shown codes.
        var hasView: Bool
    }

    /// What a step came to.
    enum Progress: Sendable {
        /// There is more to do; much has been written since the last stamp.
        case more(wantsStamp: Bool)
        case idle
        /// The disk has no room.
        case full
        case stopped
    }

    private struct Shared {
        var phase: Phase
        var view: CodeView?
        var coded: [CodedSlots] = []
        var byteCount = 0
        /// When a full disk may be asked again, on the store's clock.
        var retryTime: UInt64 = 0
    }

    let identity: DatabaseIdentity
    let context: StoreContext
    private let cell: DatabaseCell
    private let shared: Mutex<Shared>
    /// The file and what is to be done in it; held for the length of a step or a stamp, by I/O threads only.
    private let work = Mutex<CodeWork?>(nil)
    /// Whether codes were written since the last stamp.
    private let unstamped = Atomic<Bool>(false)

    init(identity: DatabaseIdentity, cell: DatabaseCell, context: StoreContext) {
        self.identity = identity
        self.cell = cell
        self.context = context
        shared = Mutex(Shared(phase: cell.quantization == .none ? .off : .idle))
    }

    // MARK: Searches and the database actor

    /// The codes, for a search of so many rows; nil if there are none. The first search that is worth it has them made.
    func view(forSearchOf rowCount: Int) -> CodeView? {
        let (view, isFirst) = shared.withLock { shared -> (CodeView?, Bool) in
            guard isWaiting(shared), isWorthwhile(rowCount) else { return (shared.view, false) }
            shared.phase = .requested
            return (shared.view, true)
        }
        if isFirst { context.coding.request(cell) }
        return view
    }

    /// Has the codes made for a database of so many rows, be they few bytes.
    ///
    /// - Parameter retries: whether a full disk is to be asked again now.
    func demand(for rowCount: Int, retries: Bool) {
        let isNew = shared.withLock { shared in
            guard rowCount >= Self.minimumRowCount, isWaiting(shared) || retries && shared.phase == .full else {
                return false
            }
            shared.phase = .requested
            return true
        }
        if isNew { context.coding.request(cell) }
    }

    /// Whether asking would change something.
    private func isWaiting(_ shared: borrowing Shared) -> Bool {
        switch shared.phase {
        case .idle: true
        case .full: context.configuration.environment.clock.monotonicNanoseconds() >= shared.retryTime
        case .off, .requested, .open, .settled, .failed, .closed: false
        }
    }

    private func isWorthwhile(_ rowCount: Int) -> Bool {
        rowCount >= Self.minimumRowCount
            && rowCount * identity.vectorByteCount >= context.configuration.quantizationByteThreshold
    }

    /// The codes as they are now, asked for by nobody who searches.
    var currentView: CodeView? { shared.withLock { $0.view } }

    /// Whether the database wants codes.
    var quantization: Quantization { cell.quantization }

    /// Begins to have codes, or removes them; the file is pinned.
    func apply(_ quantization: Quantization) {
        if quantization == .automatic {
            shared.withLock { if $0.phase == .off { $0.phase = .idle } }
            return
        }
        end(.off, removingFile: true)
    }

    /// Whether the encoder has something to do here.
    var isWanted: Bool { shared.withLock { $0.phase == .requested || $0.phase == .open } }

    /// Whether it has to be known what is written: for the encoder, now or when it goes on.
    var followsWrites: Bool { [.requested, .open, .full].contains(phase) }

    var phase: Phase { shared.withLock { $0.phase } }

    /// What the file is used for, as of one moment.
    var usage: Usage {
        shared.withLock { Usage(phase: $0.phase, byteCount: $0.byteCount, hasView: $0.view != nil) }
    }

    var hasUnstamped: Bool { unstamped.load(ordering: .relaxed) }

    /// Forgets the codes of slots that are being handed out again. Nothing has been written to the slots yet, and no
    /// snapshot reaches what they held: whoever sees the new record sees that it has no code.
    func forget(slots: some Sequence<UInt32>) {
        let coded = shared.withLock { $0.coded }
        guard !coded.isEmpty else { return }
        for slot in slots { coded.remove(slot: slot) }
    }

    /// Closes the file. Views stay as they are for snapshots that outlive it.
    func close() {
        shared.withLock { $0.phase = .closed }
        work.withLock { work in
            try? work?.file.file.close()
            work = nil
        }
    }

    // MARK: The encoder

    /// Opens or makes the file in the first step, then encodes what has no code, for about a millisecond. In a store that is only
    /// read it makes and encodes nothing: it finds out which codes of the file are to be believed.
    func advance(_ request: CodingWork) -> Progress {
        withExtendedLifetime(request.snapshot) {
            do throws(FileSystemError) {
                let progress = try work.withLock { (work) throws(FileSystemError) -> Progress in
                    // Codes may have been given up or switched off while the step waited its turn.
                    guard isWanted else { return .stopped }
                    if work == nil {
                        guard let opened = try open(request) else { return .stopped }
                        work = opened
                        publish(opened.file)
                    }
                    shared.withLock { if $0.phase == .requested { $0.phase = .open } }
                    return try advance(&work!, request)
                }
                if case .full = progress { waitForSpace() }
                if case .idle = progress, isReadOnly { settle() }
                return progress
            } catch {
                fail(error)
                return .stopped
            }
        }
    }

    private func advance(_ work: inout CodeWork, _ request: CodingWork) throws(FileSystemError) -> Progress {
        let clock = context.configuration.environment.clock
        let start = clock.monotonicNanoseconds()
        work.pages.formUnion(request.pages)
        var pageCount = 0
        defer { work.noteFrontier(request.snapshot) }
        while let page = work.pages.first {
            if pageCount == CodeWork.stepPageCount
                || pageCount > 0 && clock.monotonicNanoseconds() &- start >= CodeWork.stepNanoseconds
            {
                return .more(wantsStamp: work.unstampedByteCount >= CodeWork.stampByteCount)
            }
            if isReadOnly {
                work.adoptReadable(page, of: request.snapshot, coded: shared.withLock { $0.coded })
            } else {
                guard try makeRoom(for: page, in: &work, request.snapshot) else { return .full }
                let coded = shared.withLock { $0.coded }
                let mendedCount = work.mendedCount
                if try work.encode(page, of: request.snapshot, coded: coded) {
                    unstamped.store(true, ordering: .relaxed)
                }
                cell.metrics.codesMended.add(UInt64(work.mendedCount - mendedCount))
            }
            work.pages.remove(page)
            pageCount += 1
        }
        return .idle
    }

    /// Opens the file, or makes one; nil if there are to be no codes.
    private func open(_ request: CodingWork) throws(FileSystemError) -> CodeWork? {
        let reservation = self.reservation
        let opening = try CodeFile.open(
            identity, checkpointLSN: request.checkpointLSN, on: context.fileSystem, reservation: reservation)
        switch opening {
        case .ready(let file):
            return CodeWork(file: file, snapshot: request.snapshot)
        case .newer:
            shared.withLock { $0.phase = .off }
            return nil
        case .absent, .useless:
            if isReadOnly {
                settle()
                return nil
            }
            guard request.snapshot.count >= Self.minimumRowCount else {
                shared.withLock { $0.phase = .idle }
                return nil
            }
            let file = try CodeFile.create(
                identity, seed: context.configuration.environment.random.next(),
                centre: request.snapshot.sampleMean(rowCount: Self.minimumRowCount),
                chunkByteCount: context.configuration.codeChunkByteCount, on: context.fileSystem)
            return CodeWork(file: file, snapshot: request.snapshot)
        }
    }

    private var isReadOnly: Bool { context.configuration.access == .readOnly }

    /// Ends the work on codes that are only read.
    private func settle() {
        shared.withLock { if $0.phase == .open || $0.phase == .requested { $0.phase = .settled } }
    }

    private var reservation: Int {
        // Codes take about a quarter of the vectors' bytes.
        roundedUp(
            max(context.configuration.addressSpaceReservation / 4, StorageGranularity.byteCount),
            toMultipleOf: StorageGranularity.byteCount)
    }

    /// Has the file grow so that it can hold a page's codes; false if the disk has too little room.
    ///
    /// Codes take half of the free space at most, for whatever else is written has to go somewhere; and a file that could not
    /// hold the codes of all records is not begun.
    private func makeRoom(
        for page: Int, in work: inout CodeWork, _ snapshot: DatabaseSnapshot
    ) throws(FileSystemError) -> Bool {
        let last = min((page + 1) * RecordTable.entriesPerPage, snapshot.records.slotCount) - 1
        guard last >= work.file.slotCapacity, !snapshot.records.liveBits(ofPage: page).isEmpty else { return true }
        let available = context.fileSystem.availableByteCount ?? .max
        guard work.file.byteCount(toHold: snapshot.records.slotCount) <= available / 2 else { return false }
        try work.file.grow(toHold: last, on: context.fileSystem, reservation: reservation)
        publish(work.file)
        return true
    }

    /// Shows searches what is mapped now.
    private func publish(_ file: CodeFile) {
        let old = shared.withLock { shared -> CodeView? in
            shared.phase = .open
            shared.byteCount = file.byteCount
            guard let space = file.space else { return nil }
            while shared.coded.count * CodedSlots.slotCount < file.slotCapacity { shared.coded.append(CodedSlots()) }
            let old = shared.view
            shared.view = CodeView(
                codec: file.codec, chunkSlotCount: file.header.chunkSlotCount, slotCapacity: file.slotCapacity,
                memory: MappedCodes(
                    space: space, chunkByteCount: file.header.chunkByteCount,
                    highByteCount: file.header.chunkSlotCount * file.codec.highStride,
                    lowByteCount: file.header.chunkSlotCount * file.codec.lowStride,
                    slotCapacity: file.slotCapacity, coded: shared.coded))
            return old
        }
        withExtendedLifetime(old) {}
    }

    /// Gives the codes up until the database is opened again; on a full disk for a while only, and their file too: others
    /// need the space.
    private func fail(_ error: FileSystemError) {
        cell.metrics.codingFailures.add(1)
        guard error.isOutOfSpace, !isReadOnly else { return end(.failed) }
        putOff()
        end(.full, removingFile: true)
    }

    /// Stops encoding for a while. What codes there are stay in use; an empty file is removed.
    private func waitForSpace() {
        cell.metrics.codingFailures.add(1)
        putOff()
        if work.withLock({ $0?.file.chunkCount == 0 }) { return end(.full, removingFile: true) }
        // They may have been switched off, or the database closed, in between.
        shared.withLock { if $0.phase == .open || $0.phase == .requested { $0.phase = .full } }
    }

    /// Notes when a full disk may be asked again.
    private func putOff() {
        let now = context.configuration.environment.clock.monotonicNanoseconds()
        shared.withLock { $0.retryTime = now &+ Self.retryNanoseconds }
    }

    /// Lets go of the file, and shows searches no codes any more.
    private func end(_ phase: Phase, removingFile: Bool = false) {
        // Behind the work lock: a step under way must not show its view afterwards, nor find its new file removed.
        let old = work.withLock { work -> CodeView? in
            try? work?.file.file.close()
            work = nil
            unstamped.store(false, ordering: .relaxed)
            if removingFile { try? context.fileSystem.unlink(CodeFile.path(identity)) }
            return shared.withLock { shared -> CodeView? in
                defer { shared.view = nil }
                if phase == .off || shared.phase != .off && shared.phase != .closed { shared.phase = phase }
                shared.coded = []
                shared.byteCount = 0
                return shared.view
            }
        }
        withExtendedLifetime(old) {}
    }

    // MARK: Stamps and checks

    /// Makes codes durable, then notes in the file what a later opening may believe.
    ///
    /// - Parameter snapshot: a state that is in a durable checkpoint. No crash leads to an older one, so whatever record
    ///   of a commit up to it is live later, is live in it.
    func stamp(asOf snapshot: DatabaseSnapshot) {
        do throws(FileSystemError) {
            try work.withLock { (work) throws(FileSystemError) in
                guard work != nil, unstamped.load(ordering: .relaxed) else { return }
                let coded = shared.withLock { $0.coded }
                if try work!.stamp(asOf: snapshot, coded: coded) { unstamped.store(false, ordering: .relaxed) }
            }
        } catch {
            fail(error)
        }
    }

    /// Has codes made anew that were found not to be those of their vectors; in a store that is only read they are not used any
    /// more.
    func discard(_ slots: [UInt32]) {
        let coded = shared.withLock { $0.coded }
        for slot in slots { coded.remove(slot: slot) }
        if isReadOnly { return }
        work.withLock { work in
            guard work != nil else { return }
            for slot in slots { work!.pages.insert(Int(slot) / RecordTable.entriesPerPage) }
        }
        unstamped.store(true, ordering: .relaxed)
        context.coding.request(cell)
    }
}
