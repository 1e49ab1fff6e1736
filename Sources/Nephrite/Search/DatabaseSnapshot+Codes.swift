/// Where a search asks for the codes of a snapshot's vectors. No database of this version keeps codes.

extension DatabaseSnapshot {
    /// The codes of the vectors; nil if there are none, and then a search compares every record.
    var codes: CodeView? { nil }
}
