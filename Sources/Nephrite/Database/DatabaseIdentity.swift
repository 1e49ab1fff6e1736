/// What does not change while a database is open: its number, name, options and the secrets of its checksums.
import StorageFormat

struct DatabaseIdentity: Sendable {
    let number: UInt32
    let name: String
    let options: DatabaseOptions
    let uuid: StorageUUID
    let incarnation: UInt64
    let hashKey: IDHashKey
    let salt: ChecksumSalt
    let createdAt: UInt64
    /// Bytes from one vector slot to the next.
    let stride: Int

    /// The directory's path component and the data file's.
    static let dataFileName = "vectors.jvdb"

    var vectorByteCount: Int { options.dimension * 4 }

    /// The tag of a record at a slot: its content checksum bound to this file and this slot.
    @inline(__always)
    func tag(contentChecksum: UInt32, slot: UInt32) -> UInt32 {
        contentChecksum ^ salt.seed(.record, position: UInt64(slot))
    }
}

extension DatabaseOptions {
    /// What the catalogue says.
    init(_ entry: CatalogueEntry) {
        self.init(
            dimension: entry.dimension, metric: DistanceMetric(entry.metric),
            durability: Durability(entry.durability), quantization: Quantization(entry.quantization),
            indexedFields: entry.indexedFields)
    }
}

extension Quantization {
    var format: FormatQuantization {
        switch self {
        case .automatic: .automatic
        case .none: .none
        }
    }

    init(_ format: FormatQuantization) {
        switch format {
        case .automatic: self = .automatic
        case .none: self = .none
        }
    }
}

extension DistanceMetric {
    var format: FormatMetric {
        switch self {
        case .cosine: .cosine
        case .dotProduct: .dot
        case .euclidean: .euclidean
        }
    }

    init(_ format: FormatMetric) {
        switch format {
        case .cosine: self = .cosine
        case .dot: self = .dotProduct
        case .euclidean: self = .euclidean
        }
    }
}
