/// The one error type of the store: what failed, where, and what to do about it.
public struct StoreError: Error, Sendable, Hashable {
    /// What kind of failure it is. More may be added; switch with a `default`.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private let name: String

        private init(_ name: String) { self.name = name }

        /// The code's name.
        public var description: String { name }

        /// A vector does not have the database's dimension.
        public static let dimensionMismatch = Code("dimensionMismatch")
        /// A vector has a component that is NaN or infinite.
        public static let notFinite = Code("notFinite")
        /// An id is empty or longer than 512 bytes.
        public static let invalidID = Code("invalidID")
        /// A database name is not `[a-z0-9][a-z0-9_-]{0,63}`.
        public static let invalidName = Code("invalidName")
        /// An option or argument is outside its range.
        public static let invalidArgument = Code("invalidArgument")
        /// Metadata is larger than 1 MiB, nested too deeply, or holds a number that is not finite.
        public static let invalidMetadata = Code("invalidMetadata")
        /// A filter's text cannot be read, or a filter is too large; `offset` is the place in the text, in UTF-8 bytes.
        public static let invalidFilter = Code("invalidFilter")
        /// A batch names one id twice.
        public static let duplicateID = Code("duplicateID")
        /// `insert` of an id that is there.
        public static let recordExists = Code("recordExists")
        /// `update` of an id that is not there.
        public static let recordNotFound = Code("recordNotFound")
        /// The record's version is not the expected one.
        public static let versionMismatch = Code("versionMismatch")
        /// A transaction met a write that was committed after its snapshot; run it again.
        public static let conflict = Code("conflict")
        /// The database is there already.
        public static let databaseExists = Code("databaseExists")
        /// There is no such database.
        public static let databaseNotFound = Code("databaseNotFound")
        /// Another process, or another store of this one, has the directory open.
        public static let locked = Code("locked")
        /// The directory holds something that is not a Nephrite store.
        public static let notAStore = Code("notAStore")
        /// A file was written by a newer version.
        public static let newerFormat = Code("newerFormat")
        /// A checksum, a length or a reference is wrong: the file is damaged.
        public static let corruption = Code("corruption")
        /// The disk or quota is full; nothing was changed.
        public static let diskFull = Code("diskFull")
        /// A format limit is reached.
        public static let limitReached = Code("limitReached")
        /// The file system is read-only, or the process may not write there.
        public static let notWritable = Code("notWritable")
        /// The store was opened for reading only.
        public static let readOnly = Code("readOnly")
        /// The process has too many open files.
        public static let tooManyOpenFiles = Code("tooManyOpenFiles")
        /// The system does not let the process start another thread.
        public static let tooManyThreads = Code("tooManyThreads")
        /// A system call failed.
        public static let inputOutput = Code("inputOutput")
        /// A sync failed after the write was staged: it may or may not survive. Reopen the store to find out.
        public static let outcomeUnknown = Code("outcomeUnknown")
        /// An earlier I/O failure stopped all writing; reads go on. Reopen the store.
        public static let fenced = Code("fenced")
        /// `run()` has not been started, or the store was closed.
        public static let notRunning = Code("notRunning")
        /// The store or the snapshot's database is closed.
        public static let closed = Code("closed")
    }

    /// What kind of failure it is.
    public let code: Code
    /// What failed, in a sentence.
    public let message: String
    /// The database it is about.
    public let database: String?
    /// The file it is about, below the store's directory.
    public let path: String?
    /// The position in the file, or in the text of a filter, in bytes.
    public let offset: UInt64?
    /// The record ids it is about, the first hundred at most.
    public let ids: [String]
    /// What to do about it, in a sentence.
    public let remedy: String
    /// `errno` of the failed system call.
    public let errorNumber: Int32?

    init(
        _ code: Code, _ message: String, database: String? = nil, path: String? = nil, offset: UInt64? = nil,
        ids: [String] = [], remedy: String, errorNumber: Int32? = nil
    ) {
        self.code = code
        self.message = message
        self.database = database
        self.path = path
        self.offset = offset
        self.ids = Array(ids.prefix(100))
        self.remedy = remedy
        self.errorNumber = errorNumber
    }
}

extension StoreError: CustomStringConvertible {
    /// Code, message, place and remedy in one line.
    public var description: String {
        var place: [String] = []
        if let database { place.append("database \(database)") }
        if let path { place.append(path) }
        if let offset { place.append("offset \(offset)") }
        if !ids.isEmpty { place.append("id " + ids.prefix(3).joined(separator: ", ") + (ids.count > 3 ? ", …" : "")) }
        let located = place.isEmpty ? "" : " [" + place.joined(separator: ", ") + "]"
        return "\(code): \(message)\(located) \(remedy)"
    }
}
