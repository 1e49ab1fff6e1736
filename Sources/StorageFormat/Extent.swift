/// A run of 64 KiB units of a database file and what it is for; file headers and resize records hold lists of them.
@usableFromInline
package struct Extent: Sendable, Hashable {
    /// What an extent holds. Extents of one kind, in order, form one area.
    @usableFromInline
    package enum Kind: UInt32, Sendable, Hashable, CaseIterable {
        case vectors = 1
        case payload = 2
        case recordTable = 3
        case directory = 4
        case pageTable = 5

        /// Whether the first half of the units is region A (even generations) and the second half region B.
        package var isShadowed: Bool { self != .vectors && self != .payload }
    }

    package static let byteCount = 12

    @usableFromInline package var kind: Kind
    @usableFromInline package var startUnit: UInt32
    @usableFromInline package var unitCount: UInt32

    @inlinable
    package init(kind: Kind, startUnit: UInt32, unitCount: UInt32) {
        self.kind = kind
        self.startUnit = startUnit
        self.unitCount = unitCount
    }

    /// The unit after the last.
    package var endUnit: UInt64 { UInt64(startUnit) + UInt64(unitCount) }

    func encode(into writer: inout ByteWriter) {
        writer.append(startUnit)
        writer.append(unitCount)
        writer.append(kind.rawValue)
    }

    static func decode(from reader: inout ByteReader) throws(FormatError) -> Extent {
        let startUnit = try reader.u32()
        let unitCount = try reader.u32()
        guard let kind = Kind(rawValue: try reader.u32()) else { throw reader.error(.invalidValue) }
        return Extent(kind: kind, startUnit: startUnit, unitCount: unitCount)
    }
}

/// How similarity is measured, as stored.
package enum FormatMetric: UInt8, Sendable, Hashable, CaseIterable {
    case cosine = 0
    case dot = 1
    case euclidean = 2
}

/// When a write is acknowledged, as stored.
package enum FormatDurability: Sendable, Hashable {
    /// After the log was synced.
    case durable
    /// At once; the log is synced within the interval.
    case relaxed(nanoseconds: UInt64)
}

/// Whether codes of the vectors are kept for faster searches, as stored.
package enum FormatQuantization: UInt8, Sendable, Hashable, CaseIterable {
    case automatic = 0
    case none = 1
}
