/// Gives fuzzers' inputs the checksum they should have, so that mutations reach the code behind the check.
func withChecksum(
    _ input: UnsafeRawBufferPointer, at offset: Int, seed: UInt32, _ body: (UnsafeRawBufferPointer) -> Void
) {
    var bytes = Array(input)
    guard offset >= 0, offset + 4 <= bytes.count else {
        return input.withMemoryRebound(to: UInt8.self) { body(.init($0)) }
    }
    let checksum = bytes[..<offset].withUnsafeBytes { CRC32C.checksum($0, continuing: seed) }
    withUnsafeBytes(of: checksum) { bytes.replaceSubrange(offset..<(offset + 4), with: $0) }
    bytes.withUnsafeBytes(body)
}
