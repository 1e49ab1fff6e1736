/// Copies the rows of a dataset into a database, batch by batch: `import` and `demo` start it and are told
/// after each batch how many rows are durable.
import Nephrite

/// An import in progress.
struct ImportJob {
    /// How an import ended.
    struct Summary: Sendable {
        /// The rows that are durable.
        var rowCount = 0
        /// From the first row to the last.
        var duration: Duration = .zero
        /// Whether a signal ended it before the last row.
        var wasInterrupted = false
    }

    /// What the rows come from.
    let reader: any RowReader
    /// What messages call it.
    let path: String
    /// How many rows are committed at once.
    let batchSize: Int
    /// Asked between two batches.
    let interrupt: Interrupt

    /// Imports all rows.
    ///
    /// - Parameter acknowledge: called with the total after each batch that is durable.
    func run(into database: VectorDatabase, acknowledge: (Int) async throws -> Void) async throws -> Summary {
        let clock = ContinuousClock()
        let start = clock.now
        let path = path
        var summary = Summary()
        try checkDimension(database)
        do {
            var ahead: Result<RowBatch, any Error>?
            while true {
                summary.wasInterrupted = interrupt.isRequested
                if summary.wasInterrupted { break }
                let batch = try ahead?.get() ?? reader.next(limit: batchSize)
                guard batch.rowCount > 0 else { break }
                async let committed: Void = Self.commit(batch, to: database, path)
                // The next rows are read while the disk is at work on these; from a pipe they might not come before
                // these are acknowledged.
                ahead = reader.isFile ? Result { try reader.next(limit: batchSize) } : nil
                try await committed
                summary.rowCount += batch.rowCount
                try await acknowledge(summary.rowCount)
            }
        } catch let error as CommandError where error == .interrupted {
            // It came while a pipe had nothing to read.
            summary.wasInterrupted = true
        } catch {
            var error = CommandError(error)
            if summary.rowCount > 0 {
                error.remedy += " The first \(HumanText.grouped(summary.rowCount)) rows are imported."
            }
            throw error
        }
        summary.duration = clock.now - start
        return summary
    }

    private static func commit(_ batch: RowBatch, to database: VectorDatabase, _ path: String) async throws {
        do {
            try await database.upsert(ids: batch.ids, vectors: batch.vectors, metadata: batch.metadata)
        } catch let error as StoreError {
            throw located(error, batch, database.options.dimension, path)
        }
    }

    private func checkDimension(_ database: VectorDatabase) throws(CommandError) {
        let expected = database.options.dimension
        guard let dimension = reader.dimension, dimension != expected else { return }
        throw CommandError(
            exitCode: .dataError, code: StoreError.Code.dimensionMismatch.description,
            message: "\(path) has vectors of \(dimension) components, database “\(database.name)” has \(expected).",
            remedy: "Import into a database that was created with --dimension \(dimension).", database: database.name,
            path: path)
    }

    /// The error with the row of the file it is about, as far as that can be told.
    static func located(_ error: StoreError, _ batch: RowBatch, _ dimension: Int, _ path: String) -> CommandError {
        let row: Int? =
            if error.code == .notFinite {
                batch.vectors.firstIndex { !$0.isFinite }.map { $0 / dimension }
            } else {
                // The last one, because of an id that is there twice the second is the one too many.
                error.ids.first.flatMap { id in batch.ids.lastIndex { $0.utf8.elementsEqual(id.utf8) } }
                    ?? (error.code == .invalidID ? batch.ids.firstIndex { !(1...512).contains($0.utf8.count) } : nil)
            }
        return row.map { CommandError(error).inRow(batch.firstRow + $0, of: path) } ?? CommandError(error)
    }
}
