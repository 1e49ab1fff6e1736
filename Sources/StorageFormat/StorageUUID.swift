/// The identity of a store or of one database file, 16 bytes in RFC 9562 order; the engine draws it at random, headers
/// and checksum salts carry it.
@usableFromInline
package struct StorageUUID: Sendable, Hashable, CustomStringConvertible {
    package static let byteCount = 16

    @usableFromInline package var high: UInt64
    @usableFromInline package var low: UInt64

    @inlinable
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The canonical form, 8-4-4-4-12 hexadecimal digits in lower case.
    @usableFromInline package var description: String {
        let digits = hexadecimal(high) + hexadecimal(low)
        var text = ""
        text.reserveCapacity(36)
        for (index, digit) in digits.enumerated() {
            if index == 8 || index == 12 || index == 16 || index == 20 { text.append("-") }
            text.append(digit)
        }
        return text
    }
}

/// Sixteen lower-case hexadecimal digits, leading zeros included.
func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
