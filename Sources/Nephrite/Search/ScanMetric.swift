// How a scan compares vectors: the metric of a database as Search sees it; ExactScanner is created with one.

/// The three ways to compare vectors.
enum ScanMetric: Sendable, Hashable, CaseIterable {
    /// Cosine similarity, −1 … 1, higher is nearer; zero where either vector is zero.
    case cosine
    /// Inner product, higher is nearer.
    case dot
    /// Euclidean distance, lower is nearer.
    case euclidean

    /// What users see of a rank, in which higher is nearer: similarity, inner product or distance.
    func score(ofRank rank: Float) -> Float { self == .euclidean ? (-rank).squareRoot() : rank }
}

extension ScanMetric {
    init(_ metric: DistanceMetric) {
        switch metric {
        case .cosine: self = .cosine
        case .dotProduct: self = .dot
        case .euclidean: self = .euclidean
        }
    }
}
