/// How far the codes of a database are: what statistics tell, and the sequence of it that `encodeVectors()` returns.
import StorageFormat
import StorageIO

/// What there is of the codes of a database's vectors.
public enum CodingState: String, Sendable, Hashable, Codable, CaseIterable {
    /// The database wants none, or a newer release made those that there are.
    case off
    /// They are not in use: nobody has searched since the database was opened, it has too few records, or it is only read and
    /// its file has none that can be used.
    case idle
    /// They are being made, or those in the file are being verified.
    case encoding
    /// Every record has one.
    case complete
    /// Some records have one, and a store that is only read makes no more. Searches compare vectors that have no code.
    case partial
    /// The disk has no room for more; it is asked again later. Searches compare vectors that have no code.
    case waitingForSpace
    /// A call on their file failed; they are given up until the database is opened again.
    case failed
}

/// How far the codes of a database are at one moment.
public struct CodingStatus: Sendable, Hashable, Codable {
    /// What there is of them.
    public var state: CodingState
    /// Records that have a code.
    public var codedCount: Int
    /// Records.
    public var recordCount: Int
}

/// Has vectors encoded and tells how far that is: an asynchronous sequence that ends after the first status that is not
/// ``CodingState/encoding``.
///
/// The work goes on in the background whether or not anybody iterates. In a store that was opened for reading only none are
/// made, and those that there are get verified: where that is possible the last status is ``CodingState/complete``,
/// ``CodingState/partial``, or ``CodingState/idle`` without any.
public struct CodingProgress: AsyncSequence, Sendable {
    /// Statuses, a few a second.
    public typealias Element = CodingStatus

    private static let pauseNanoseconds: UInt64 = 50_000_000

    let database: VectorDatabase

    /// Begins; the first status comes at once.
    public func makeAsyncIterator() -> Iterator { Iterator(database: database) }

    /// Goes through the statuses.
    public struct Iterator: AsyncIteratorProtocol {
        let database: VectorDatabase
        private var hasBegun = false
        private var isAtEnd = false

        init(database: VectorDatabase) { self.database = database }

        /// The next status; nil after the last.
        ///
        /// - Throws: `databaseNotFound`, `closed`, and what opening the file throws; `CancellationError`.
        public mutating func next() async throws -> CodingStatus? {
            if isAtEnd { return nil }
            if hasBegun {
                let clock = database.store.context.configuration.environment.clock
                try await clock.sleep(nanoseconds: CodingProgress.pauseNanoseconds)
            }
            try Task.checkCancellation()
            let isFirst = !hasBegun
            hasBegun = true
            let status = try await database.withFile { file in
                // The file may have been closed to make room for others since the last look.
                file.codes.demand(for: await file.makeSnapshot().count, retries: isFirst)
                return await file.codingStatus(file.codes.usage)
            }
            isAtEnd = status.state != .encoding
            return status
        }
    }
}

extension VectorDatabase {
    /// Has all vectors encoded now, whatever the database's size, rather than once it is searched, and tells how far that is.
    ///
    ///     for try await status in notes.encodeVectors() { print(status.codedCount, "of", status.recordCount) }
    ///
    /// Encoding begins when the first status is asked for. It does nothing where ``DatabaseOptions/quantization`` is `.none`,
    /// and for fewer than 1,000 records, which are compared sooner. Where the disk had no room it is tried again. In a store that
    /// was opened for reading only the codes that there are get verified, so that the first search can use them.
    public func encodeVectors() -> CodingProgress { CodingProgress(database: self) }
}

extension DatabaseFile {
    /// How far the codes are.
    ///
    /// - Parameter usage: asked for before this is called, so that what is counted after the end of the work is all that there is.
    func codingStatus(_ usage: CodeStore.Usage) async -> CodingStatus {
        let snapshot = makeSnapshot()
        return await context.io.run {
            let codedCount = snapshot.codedCount()
            let state: CodingState =
                switch usage.phase {
                case .off, .closed: .off
                case .idle: .idle
                case .requested: .encoding
                case .open: codedCount == snapshot.count ? .complete : .encoding
                case .settled:
                    codedCount == snapshot.count && usage.hasView ? .complete : codedCount == 0 ? .idle : .partial
                case .full: .waitingForSpace
                case .failed: .failed
                }
            return CodingStatus(state: state, codedCount: codedCount, recordCount: snapshot.count)
        }
    }
}
