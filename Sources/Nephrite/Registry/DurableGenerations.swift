/// Which generation of each database's header is on disk: checkpoints and recovery note it here, and a clean shutdown
/// writes it to the catalogue, so that a file that has lost its newest header is known when the store is opened next.
import StorageFormat
import Synchronization

/// What is noted is durable, so the catalogue never asks for more than the files had; a database that nobody checkpointed
/// keeps what the catalogue said of it.
final class DurableGenerations: Sendable {
    private let noted = Mutex<[UInt32: UInt64]>([:])

    /// A header is on disk, with everything that it refers to.
    func note(_ generation: UInt64, of database: UInt32) {
        noted.withLock { $0[database] = max($0[database] ?? 0, generation) }
    }

    /// A database is dropped; its number is never used again.
    func forget(database: UInt32) { noted.withLock { $0[database] = nil } }

    /// The catalogue of a clean shutdown, after which no log says how far a file must be.
    func sealed(_ catalogue: Catalogue) -> Catalogue {
        var catalogue = catalogue
        noted.withLock { noted in
            for index in catalogue.entries.indices {
                let entry = catalogue.entries[index]
                catalogue.entries[index].generation = max(entry.generation, noted[entry.number] ?? 0)
            }
        }
        return catalogue
    }
}
