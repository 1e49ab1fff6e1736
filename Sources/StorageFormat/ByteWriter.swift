/// Appends little-endian fields to one reserved array: the encoders fill it, the engine writes the bytes to a file.
package struct ByteWriter {
    package private(set) var bytes: [UInt8] = []

    package init(reservingCapacity capacity: Int) {
        bytes.reserveCapacity(capacity)
    }

    package var count: Int { bytes.count }

    package mutating func append<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value) {
        unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
    }

    package mutating func append(_ uuid: StorageUUID) {
        append(uuid.high.byteSwapped)
        append(uuid.low.byteSwapped)
    }

    package mutating func append(contentsOf more: some Collection<UInt8>) {
        bytes.append(contentsOf: more)
    }

    /// Appends zeros until there are `count` bytes.
    package mutating func pad(to count: Int) {
        precondition(count >= bytes.count, "a structure is longer than its place")
        bytes.append(contentsOf: repeatElement(0, count: count - bytes.count))
    }

    /// Appends the CRC-32C of everything so far, continuing `seed`.
    package mutating func appendChecksum(seed: UInt32) {
        let checksum = unsafe bytes.withUnsafeBytes { unsafe CRC32C.checksum($0, continuing: seed) }
        append(checksum)
    }
}
