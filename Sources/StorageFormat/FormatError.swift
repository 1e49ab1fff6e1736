/// What is wrong with bytes that were read back: every parser of this module throws it, the engine turns it into a
/// `StoreError` that adds database and path.
package struct FormatError: Error, Sendable, Hashable {
    /// The kinds of damage.
    package enum Kind: Sendable, Hashable {
        /// There are fewer bytes than the structure needs.
        case truncated
        /// The structure does not begin with its magic number.
        case badMagic
        /// A newer release wrote the structure and forbids older readers.
        case newerVersion(found: UInt16, supported: UInt16)
        /// The structure was written in the other byte order.
        case wrongEndianness
        /// The bytes are not those that were written.
        case checksumMismatch
        /// A length, offset or count leads out of the place it must stay in.
        case outOfBounds
        /// A field holds a value that no writer writes.
        case invalidValue
    }

    package let kind: Kind
    /// The structure, as a reader of an error message would call it: "file header", "catalogue entry", …
    package let part: String
    /// Where in the structure's bytes the damage was noticed.
    package let offset: UInt64

    package init(_ kind: Kind, part: String, offset: UInt64 = 0) {
        self.kind = kind
        self.part = part
        self.offset = offset
    }
}

extension FormatError: CustomStringConvertible {
    package var description: String {
        let what =
            switch kind {
            case .truncated: "is truncated"
            case .badMagic: "does not begin with its magic number"
            case .newerVersion(let found, let supported):
                "has format version \(found), this release reads up to \(supported)"
            case .wrongEndianness: "was written in the other byte order"
            case .checksumMismatch: "does not match its checksum"
            case .outOfBounds: "has a length or offset out of bounds"
            case .invalidValue: "holds an invalid value"
            }
        return "\(part) \(what) (at byte \(offset))"
    }
}
