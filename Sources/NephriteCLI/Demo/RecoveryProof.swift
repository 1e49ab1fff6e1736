/// Compares a database after a crash with what was imported and what was acknowledged; `demo` hands it the
/// store and prints its verdict.
import Nephrite

/// What a database holds of the rows that were being imported.
struct RecoveryProof: Sendable, Equatable {
    /// The rows acknowledged before the kill.
    let acknowledged: Int
    /// Rows that are there.
    private(set) var found = 0
    /// Acknowledged rows that are gone.
    private(set) var lost = 0
    /// Rows whose vector or metadata is not what was imported.
    private(set) var wrong = 0
    /// Whether the rows that are there are whole batches from the first on.
    private(set) var isPrefixOfBatches = true

    /// Whether nothing acknowledged was lost, nothing is wrong, and no batch is there in part.
    var holds: Bool { lost == 0 && wrong == 0 && isPrefixOfBatches && found >= acknowledged }

    /// Compares `records`, as the database has them, with the rows imported.
    init(_ rows: RowBatch, dimension: Int, acknowledged: Int, batchSize: Int, records: [VectorRecord?], count: Int) {
        self.acknowledged = acknowledged
        for (row, record) in records.enumerated() {
            guard let record else {
                if row < acknowledged { lost += 1 }
                continue
            }
            if row != found { isPrefixOfBatches = false }
            found += 1
            let vector = rows.vectors[row * dimension..<(row + 1) * dimension]
            let isSame = record.vector.elementsEqual(vector) { $0.bitPattern == $1.bitPattern }
            if !isSame || record.metadata != rows.metadata[row] { wrong += 1 }
        }
        if count != found || (found % batchSize != 0 && found != rows.rowCount) { isPrefixOfBatches = false }
    }

    /// The verdict in a sentence.
    var verdict: String {
        let numbers = "\(HumanText.grouped(acknowledged)) acknowledged, \(HumanText.grouped(found)) there"
        guard !holds else {
            return "\(numbers): every acknowledged row is there with the right vector, and no batch in part."
        }
        let torn = isPrefixOfBatches ? "" : ", a batch in part"
        return "\(numbers): \(lost) LOST, \(wrong) WRONG\(torn)."
    }
}
