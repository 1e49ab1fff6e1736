/// The operations of one commit on one database: encoded by the caller off the actor, staged by the database actor
/// (which fills in slots), logged by the log task, applied by the actor.
import StorageFormat

/// What must hold for an operation to be staged.
enum WriteCondition: Sendable, Hashable {
    case none
    case mustNotExist
    case mustExist
    /// The record has this version.
    case version(RecordVersion)
    /// The record is as a transaction's snapshot saw it: of this version, or absent.
    case unchanged(since: RecordVersion?)
}

struct BatchOperation: Sendable {
    enum Kind: Sendable { case store, delete }

    static let noSlot = UInt32.max

    let kind: Kind
    let idHash: UInt64
    let idLength: Int
    let payloadLength: Int
    let contentChecksum: UInt32
    /// Where the log record begins in the log buffer (small commits).
    let recordOffset: Int
    /// Where the store reference lies in the log buffer.
    let referenceOffset: Int
    /// Where the id begins: in the log buffer, or in the bulk payload.
    let idOffset: Int
    let condition: WriteCondition

    // Filled in when the operation is staged.
    var slot = noSlot
    var payloadUnit: UInt32 = 0
    /// The slot of the record that this one replaces or deletes, `noSlot` if there is none.
    var previousSlot = noSlot

    var payloadUnitCount: Int {
        (payloadLength + FormatLimits.payloadUnitByteCount - 1) / FormatLimits.payloadUnitByteCount
    }
}

// SAFETY: handed from one step of the write path to the next like its LogBuffer, never used by two at once.
final class OperationBatch: @unchecked Sendable {
    let log: LogBuffer
    var operations: [BatchOperation]
    /// Set when vectors and payloads go to the data file before the log.
    let bulk: BulkContent?

    init(log: LogBuffer, operations: [BatchOperation], bulk: BulkContent? = nil) {
        self.log = log
        self.operations = operations
        self.bulk = bulk
    }

    /// The id of an operation.
    func id(_ operation: BatchOperation) -> UnsafeRawBufferPointer {
        let base = unsafe bulk.map { unsafe $0.payload.bytes } ?? log.bytes
        return unsafe UnsafeRawBufferPointer(
            rebasing: base[operation.idOffset..<operation.idOffset + operation.idLength])
    }

    /// The vector of a store operation of a small commit.
    func vector(_ operation: BatchOperation, byteCount: Int) -> UnsafeRawBufferPointer {
        let offset = operation.referenceOffset + StoreReference.byteCount
        return unsafe UnsafeRawBufferPointer(rebasing: log.bytes[offset..<offset + byteCount])
    }

    /// Id and metadata of a store operation.
    func payload(_ operation: BatchOperation) -> UnsafeRawBufferPointer {
        let base = unsafe bulk.map { unsafe $0.payload.bytes } ?? log.bytes
        return unsafe UnsafeRawBufferPointer(
            rebasing: base[operation.idOffset..<operation.idOffset + operation.payloadLength])
    }

    /// An operation's id as text, for errors.
    func idText(_ operation: BatchOperation) -> String {
        unsafe String(decoding: id(operation), as: UTF8.self)
    }

    /// Payload units that the stores need.
    var payloadUnitCount: Int { operations.reduce(0) { $0 + ($1.kind == .store ? $1.payloadUnitCount : 0) } }

    /// Bytes of its records, wherever they are written.
    var byteCount: Int { log.count + (bulk.map { $0.payload.count + 4 * $0.vectors.count } ?? 0) }

    /// Slots that the stores need.
    var slotCount: Int { operations.reduce(0) { $0 + ($1.kind == .store ? 1 : 0) } }
}

/// Vectors and payloads of a bulk commit, in memory until they are in the data file.
struct BulkContent: Sendable {
    /// Payloads, each padded to the payload unit.
    let payload: LogBuffer
    /// The rows' floats, back to back.
    let vectors: [Float]
    /// Whether they may reach the disk while the log does; else they are there before the log says anything of them.
    let syncsWithLog: Bool
}
