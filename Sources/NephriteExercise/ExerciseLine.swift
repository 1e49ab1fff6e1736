/// What a child under exercise says on standard output, a line at a time: `nephrite-torture child` writes the lines, the
/// parent that kills it reads them and hands them to an `ExerciseOracle`.

/// One line.
package enum ExerciseLine: Sendable, Equatable {
    /// The child begins to open the store.
    case opening
    /// The store is open and a writer's records were read; the digest of its state.
    case recovered(writer: Int, digest: UInt64)
    /// A step of a writer is durable: how many it is.
    case acknowledged(writer: Int, count: Int)
    /// A writer's step threw an error of the store.
    case failed(writer: Int, code: String, message: String)
    /// After a failed step a writer's records were read again, and are what was acknowledged.
    case reread(writer: Int)

    /// The line without its end.
    package var text: String {
        switch self {
        case .opening: "opening"
        case .recovered(let writer, let digest): "recovered \(writer) \(String(digest, radix: 16))"
        case .acknowledged(let writer, let count): "ack \(writer) \(count)"
        case .failed(let writer, let code, let message):
            "failed \(writer) \(code) " + message.split(separator: "\n").joined(separator: " ")
        case .reread(let writer): "reread \(writer)"
        }
    }

    /// Reads a line; nil if no child writes such a line.
    package init?(_ text: String) {
        let words: [String] = text.split(separator: " " as Character, maxSplits: 3, omittingEmptySubsequences: false)
            .map { String($0) }
        let writer = words.count > 1 ? Int(words[1]) ?? -1 : -1
        switch (words[0], words.count) {
        case ("opening", 1): self = .opening
        case ("recovered", 3):
            guard writer >= 0, let digest = UInt64(words[2], radix: 16) else { return nil }
            self = .recovered(writer: writer, digest: digest)
        case ("ack", 3):
            guard writer >= 0, let count = Int(words[2]) else { return nil }
            self = .acknowledged(writer: writer, count: count)
        case ("failed", 4):
            guard writer >= 0 else { return nil }
            self = .failed(writer: writer, code: words[2], message: words[3])
        case ("reread", 2):
            guard writer >= 0 else { return nil }
            self = .reread(writer: writer)
        default: return nil
        }
    }
}
