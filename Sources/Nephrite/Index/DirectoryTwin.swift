/// The second table of the id directory: as it was one commit ago, with the buckets that were written since. The directory
/// keeps it so that a commit need not copy the pages that the last snapshot shares.
import CNephrite
import StorageFormat

struct DirectoryTwin: Sendable {
    private struct Write {
        let index: Int
        let bucket: DirectoryBucket
    }

    /// From so many buckets on, copying pages is no dearer than writing each bucket a second time.
    private static let writeLimit = 1 << 17
    /// How many writes ahead a bucket is fetched.
    private static let prefetchDistance = 8

    var pages: PagedTable
    private var writes: [Write] = []
    private var isOverfull = false

    /// A twin that is the same as the table it was taken from.
    init(pages: PagedTable) { self.pages = pages }

    /// Notes what was written to the other table.
    @inline(__always)
    mutating func note(_ bucket: DirectoryBucket, at index: Int) {
        if writes.count < Self.writeLimit {
            writes.append(Write(index: index, bucket: bucket))
        } else {
            isOverfull = true
        }
    }

    /// Whether no snapshot holds the table, and it can be brought up to date.
    mutating func isFree() -> Bool { !isOverfull && pages.isUnshared() }

    /// Has `write` do again what was noted.
    @inline(__always)
    mutating func catchUp(_ write: (DirectoryBucket, Int, inout PagedTable) -> Void) {
        for position in writes.indices {
            if position + Self.prefetchDistance < writes.count {
                let index = writes[position + Self.prefetchDistance].index
                unsafe nephrite_prefetch(pages.address(ofPage: index &>> 9) + (index & 511) &* 8)
            }
            write(writes[position].bucket, writes[position].index, &pages)
        }
        writes.removeAll(keepingCapacity: true)
    }
}
