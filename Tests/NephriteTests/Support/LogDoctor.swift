// The records of a killed store's last log segment, to be changed and written back with checksums, chain and hashes that are right:
// what the tests of doctored logs do to recovery and to salvage.
import StorageFormat
import StorageIO
import StorageSimulation
import Testing

struct LogDoctor {
    struct Record {
        var type: LogRecordType
        var database: UInt32
        var lsn: UInt64
        var transaction: UInt64 = 0
        var body: [UInt8]
        /// Whether a commit's hash is left wrong.
        var hasWrongHash = false
        /// Whether it does not go on from the record before it.
        var breaksChain = false
        var flags: UInt8 = 0
    }

    let disk: SimulatedFileSystem
    let path: StoragePath
    let header: SegmentHeader
    var records: [Record] = []
    private let size: Int

    init(_ disk: SimulatedFileSystem) throws {
        self.disk = disk
        let name = try #require(try disk.list(StoragePath("wal")).map(\.name).last { $0.hasSuffix(".wal") })
        path = StoragePath("wal", name)
        let bytes = try #require(disk.contents(of: path))
        size = bytes.count
        header = try unsafe bytes.withUnsafeBytes { try unsafe SegmentHeader.decode($0) }
        let seed = header.saltSeed
        var position = SegmentHeader.recordsOffset
        while case .record(let header, let body, let next) = unsafe bytes.withUnsafeBytes({
            unsafe LogCodec.read($0, at: position, saltSeed: seed)
        }) {
            records.append(
                Record(
                    type: header.type, database: header.database, lsn: header.lsn,
                    transaction: header.transaction, body: Array(bytes[body]), flags: header.flags))
            position = next
        }
    }

    var lastLSN: UInt64 { records.map(\.lsn).max() ?? 0 }

    /// The index of the last record of a type.
    func last(_ type: LogRecordType) throws -> Int { try #require(records.lastIndex { $0.type == type }) }

    /// Appends a commit of other records.
    mutating func append(_ group: [(LogRecordType, [UInt8])]) {
        let lsn = lastLSN + 1
        records += group.map { Record(type: $0, database: 0, lsn: lsn, body: $1) }
        let commit = CommitBody(operationCount: UInt32(group.count), batchHash: 0, databases: [])
        var body = [UInt8](repeating: 0, count: commit.encodedByteCount)
        unsafe body.withUnsafeMutableBytes { unsafe commit.encode(into: $0) }
        records.append(Record(type: .commit, database: 0, lsn: lsn, body: body))
    }

    /// Writes the records back: zeros in the room of commits that are torn away, which every later record then says were on
    /// disk, and other bytes behind the last one.
    func write(tearing torn: Range<UInt64> = 0..<0, tail: [UInt8] = []) {
        var bytes: [UInt8] = []
        var chain = header.saltSeed
        var hash: UInt64 = 0
        for record in records {
            let sealed = seal(record, syncedUpTo: torn.isEmpty ? 0 : record.lsn - 1, &chain, &hash)
            bytes += torn.contains(record.lsn) ? [UInt8](repeating: 0, count: sealed.count) : sealed
        }
        bytes += tail
        let room = size - SegmentHeader.recordsOffset
        disk.damage(
            path, at: SegmentHeader.recordsOffset, with: bytes + [UInt8](repeating: 0, count: room - bytes.count))
    }

    private func seal(
        _ record: Record, syncedUpTo: UInt64, _ chain: inout UInt32, _ hash: inout UInt64
    ) -> [UInt8] {
        let count = LogCodec.paddedByteCount(bodyLength: record.body.count)
        var sealed = [UInt8](repeating: 0, count: count)
        unsafe sealed.withUnsafeMutableBytes { buffer in
            unsafe LogCodec.writeHeader(
                buffer, type: record.type, flags: record.flags, database: record.database, bodyLength: record.body.count
            )
            for (index, byte) in record.body.enumerated() {
                unsafe buffer[LogRecordHeader.byteCount + index] = byte
            }
            if record.type == .commit {
                unsafe buffer.store(record.hasWrongHash ? ~hash : hash, at: LogRecordHeader.byteCount + 8)
            }
            chain = unsafe LogCodec.seal(
                buffer, lsn: record.lsn, transaction: record.transaction, syncedUpTo: syncedUpTo,
                previousChecksum: record.breaksChain ? ~chain : chain, saltSeed: header.saltSeed)
            switch record.type {
            case .commit: hash = 0
            case .checkpoint, .syncMarker: break
            default: hash = unsafe CommitBody.hash(UnsafeRawBufferPointer(buffer), continuing: hash)
            }
        }
        return sealed
    }
}
