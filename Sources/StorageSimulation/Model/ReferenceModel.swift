/// The oracle for one writer: tests submit each operation to it beside the engine, and ask after a crash which
/// commit the recovered state is.

/// A store in a dictionary, with the state after every commit.
public struct ReferenceModel: Sendable {
    /// The state after each prefix of the commits; the first one is the state at the start.
    public private(set) var history: [ModelState]

    /// Creates a model.
    public init(initial: ModelState = ModelState()) { history = [initial] }

    /// The state after everything submitted.
    public var current: ModelState { history[history.count - 1] }

    /// How many commits there are.
    public var commitCount: Int { history.count - 1 }

    /// Commits an operation.
    ///
    /// - Returns: its number from 1, which is also the length of the prefix that ends with it.
    /// - Throws: ``ModelError`` when a correct store refuses the operation; nothing is committed.
    @discardableResult
    public mutating func submit(_ operation: ModelOperation) throws(ModelError) -> Int {
        var next = current
        try next.apply(operation)
        history.append(next)
        return commitCount
    }

    /// Takes back commits that the engine is known to have refused, for example for a full disk.
    public mutating func rollBack(to commit: Int) { history.removeSubrange((commit + 1)...) }

    /// The longest prefix of commits whose state is exactly `recovered`, at least `acknowledged` and at most
    /// `submitted` commits long; `nil` when there is none, which means that the store lost or invented something.
    public func matchingPrefix(of recovered: ModelState, acknowledged: Int, submitted: Int) -> Int? {
        precondition(0 <= acknowledged && acknowledged <= submitted && submitted <= commitCount, "no such prefix")
        return (acknowledged...submitted).last { history[$0] == recovered }
    }

    /// Why no prefix matches: the nearest one and what differs from it.
    public func mismatch(of recovered: ModelState, acknowledged: Int, submitted: Int) -> String? {
        guard matchingPrefix(of: recovered, acknowledged: acknowledged, submitted: submitted) == nil else {
            return nil
        }
        let range = acknowledged...submitted
        let nearest = range.map { prefix in
            (prefix: prefix, count: recovered.differences(from: history[prefix], limit: .max).count)
        }.min { $0.count < $1.count }
        let lines = nearest.map { recovered.differences(from: history[$0.prefix]) } ?? []
        var text = "no prefix of \(acknowledged)...\(submitted) commits matches"
        if let nearest { text += "; nearest is \(nearest.prefix):\n  " + lines.joined(separator: "\n  ") }
        if let elsewhere = history.lastIndex(of: recovered) {
            let kind = elsewhere < acknowledged ? "acknowledged commits are lost" : "it was never submitted"
            text += "\n  it is exactly prefix \(elsewhere): \(kind)"
        }
        return text
    }
}
