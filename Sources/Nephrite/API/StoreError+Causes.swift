/// Where the engine's failures become ``StoreError``s: one factory per cause, each with its sentence and remedy.
import StorageFormat
import StorageIO

extension StoreError {
    static func invalidMetadata(_ cause: FormatError) -> StoreError {
        let reason =
            switch cause.kind {
            case .invalidValue: "a key is empty, too long or there twice, or a number is not finite"
            case .outOfBounds: "it is too large, or nested too deep"
            default: "\(cause.part) (\(cause.kind))"
            }
        return StoreError(
            .invalidMetadata, "The metadata cannot be stored: \(reason).",
            remedy: "Use unique keys of 1 to 256 bytes, finite numbers, at most 32 levels and 1 MiB in all.")
    }

    static func dimension(expected: Int, actual: Int, id: String, database: String) -> StoreError {
        StoreError(
            .dimensionMismatch, "The vector has \(actual) components, the database has \(expected).",
            database: database, ids: [id], remedy: "Pass vectors of \(expected) components.")
    }

    static func notFinite(id: String, database: String) -> StoreError {
        StoreError(
            .notFinite, "The vector has a component that is NaN or infinite.", database: database, ids: [id],
            remedy: "Replace it; distances to such a vector have no order.")
    }

    static func invalidID(byteCount: Int, id: String, database: String) -> StoreError {
        StoreError(
            .invalidID, "The id has \(byteCount) bytes.", database: database, ids: [String(id.prefix(64))],
            remedy: "Use ids of 1 to \(FormatLimits.idByteCount) bytes of UTF-8.")
    }

    static func argument(_ message: String, remedy: String, database: String? = nil) -> StoreError {
        StoreError(.invalidArgument, message, database: database, remedy: remedy)
    }

    static func notRunning(_ path: String) -> StoreError {
        StoreError(
            .notRunning, "The store is not running.", path: path,
            remedy: "Start run() in a task first and await waitUntilReady(), or use withVectorStore(at:).")
    }

    static func closed(_ path: String) -> StoreError {
        StoreError(.closed, "The store is closed.", path: path, remedy: "Make a new VectorStore for the directory.")
    }

    static func readOnly(_ path: String) -> StoreError {
        StoreError(
            .readOnly, "The store was opened for reading only.", path: path,
            remedy: "Open it with access .readWrite (on the command line: without --read-only).")
    }

    static func noDatabase(_ name: String) -> StoreError {
        StoreError(
            .databaseNotFound, "There is no database of that name.", database: name,
            remedy: "Create it first, or look at the list of databases.")
    }

    static func corruption(
        _ message: String, database: String? = nil, path: String? = nil, offset: UInt64? = nil, ids: [String] = []
    ) -> StoreError {
        StoreError(
            .corruption, message, database: database, path: path, offset: offset, ids: ids,
            remedy:
                "Keep the files as evidence; `nephrite salvage`, or VectorStore.salvage(to:), copies everything that "
                + "is whole into a new store.")
    }

    /// A transaction that itself needs more files open at once than may be.
    static func tooManyDatabases(_ what: String, limit: Int) -> StoreError {
        StoreError(
            .tooManyOpenFiles, "The transaction \(what), and \(limit) files may be open at once.",
            remedy: "Raise maximumOpenFiles, or spread the work over several transactions.")
    }

    static func limit(_ message: String, database: String) -> StoreError {
        StoreError(.limitReached, message, database: database, remedy: "Spread the records over several databases.")
    }

    /// A failure that was met while parsing a file.
    init(_ cause: FormatError, path: String, database: String? = nil) {
        switch cause.kind {
        case .newerVersion(let found, let supported):
            self.init(
                .newerFormat, "The \(cause.part) has format version \(found); this build reads up to \(supported).",
                database: database, path: path, remedy: "Open it with a newer version of Nephrite.")
        case .badMagic:
            self.init(
                .notAStore, "The \(cause.part) does not begin as one of ours does.", database: database, path: path,
                offset: cause.offset, remedy: "Check the path; the file was left as it is.")
        default:
            self = .corruption(
                "The \(cause.part) is damaged (\(cause.kind)).", database: database, path: path, offset: cause.offset)
        }
    }

    /// A system call that failed.
    init(_ cause: FileSystemError, database: String? = nil) {
        let code: Code =
            if cause.isOutOfSpace {
                .diskFull
            } else if cause.call == .lock, cause.isLocked {
                .locked
            } else if cause.isReadOnly || cause.isPermission {
                .notWritable
            } else if cause.isTooManyOpenFiles {
                .tooManyOpenFiles
            } else {
                .inputOutput
            }
        let call = cause.call == .openRoot ? "open" : cause.call.rawValue
        self.init(
            code, "\(call) failed: \(cause.meaning)", database: database, path: cause.path,
            offset: cause.offset, remedy: cause.remedy, errorNumber: cause.code)
    }

    /// A thread that the system refused.
    init(_ cause: ThreadError) {
        self.init(
            .tooManyThreads, "The system does not let the process start a thread for \(cause.name).",
            remedy:
                "Raise the limit of threads (ulimit -u, pids.max of the container) or of memory, or close other stores.",
            errorNumber: cause.code)
    }

    /// Any error as a store error, for the places that cannot tell.
    static func wrapping(_ error: any Error, database: String? = nil) -> StoreError {
        switch error {
        case let error as StoreError: error
        case let error as FileSystemError: StoreError(error, database: database)
        default:
            StoreError(.inputOutput, "\(error)", database: database, remedy: "See the message.")
        }
    }

    func outcomeUnknown() -> StoreError {
        StoreError(
            .outcomeUnknown, "The write was staged, then the log failed: \(message)", database: database, path: path,
            offset: offset, remedy: "Reopen the store; then read the record to learn whether it survived.",
            errorNumber: errorNumber)
    }

    func fenced() -> StoreError {
        StoreError(
            .fenced, "Writing has stopped after a failure: \(message)", database: database, path: path,
            offset: offset,
            remedy: "Reads go on. Mend the cause, then reopen the store; it recovers what was acknowledged.",
            errorNumber: errorNumber)
    }
}
