/// Which names a database may have; the public API refuses others, the catalogue does not believe others.
package enum DatabaseName {
    /// Whether `name` matches `[a-z0-9][a-z0-9_-]{0,63}`: safe as a file name on every system, equal only if the bytes
    /// are.
    package static func isValid(_ name: String) -> Bool {
        let bytes = name.utf8
        guard let first = bytes.first, bytes.count <= FormatLimits.databaseNameByteCount else { return false }
        return isLetterOrDigit(first)
            && bytes.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
