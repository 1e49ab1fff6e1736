/// The accepted records of the last segment on their way into a fresh one; opening a store makes and copies it.
import StorageFormat
import StorageIO

struct LogTail {
    private let segment: LoadedSegment?
    private let commits: [CommitLocation]

    init(log: LogScan.Outcome) {
        segment = log.segments.last
        let last = log.segments.count - 1
        commits = log.commits.filter { $0.segment == last }
    }

    var byteCount: Int { commits.reduce(0) { $0 + $1.range.count } }

    /// Reseals every commit under the new segment's salt, keeping LSNs, and writes it.
    func copy(to writer: inout SegmentWriter) throws(FileSystemError) {
        guard let segment else { return }
        for commit in commits {
            let buffer = LogBuffer(capacity: commit.range.count)
            _ = buffer.extend(by: commit.range.count)
            let target = unsafe buffer.mutableBytes(0..<commit.range.count)
            unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: segment.bytes[commit.range]))
            var offset = 0
            var hash: UInt64 = 0
            while offset < buffer.count {
                let length = buffer.recordLength(at: offset)
                let record = unsafe buffer.mutableBytes(offset..<offset + length)
                if offset + length == buffer.count {
                    // The commit record is the last one; its batch hash covers the records as they are sealed now.
                    unsafe record.storeBytes(
                        of: hash, toByteOffset: LogRecordHeader.byteCount + 8, as: UInt64.self)
                }
                let syncedUpTo = unsafe record.loadUnaligned(fromByteOffset: 40, as: UInt64.self)
                unsafe writer.seal(record, lsn: commit.lsn, syncedUpTo: syncedUpTo)
                hash = unsafe CommitBody.hash(UnsafeRawBufferPointer(record), continuing: hash)
                offset += length
            }
            try unsafe writer.write([buffer.bytes], byteCount: buffer.count)
            writer.lastLSN = commit.lsn
        }
    }
}
