/// The hash that ties a commit record to the records of its batch: the committer builds it, replay compares it.
import CNephrite

extension CommitBody {
    /// XXH64 of one sealed record, padding included, seeded with the hash of the records before it (0 for the first).
    package static func hash(_ record: UnsafeRawBufferPointer, continuing hash: UInt64) -> UInt64 {
        unsafe nephrite_xxh64(record.baseAddress, record.count, hash)
    }
}
