/// What calls were made: ``SimulatedFileSystem`` records them, tests compare two runs of one seed by the hash.
public import StorageIO

/// One call.
public struct TraceEntry: Sendable, Hashable, CustomStringConvertible {
    /// Its number, from 1.
    public let number: Int
    /// The call.
    public let call: SystemCall
    /// The path.
    public let path: StoragePath
    /// The file offset; 0 for calls without one.
    public let offset: UInt64
    /// How many bytes were asked for; 0 for calls without a length.
    public let length: UInt64
    /// A hash of the bytes written; 0 for calls that write none.
    public let dataHash: UInt64
    /// The `errno` it ended with, or 0.
    public let code: Int32

    /// The entry on one line.
    public var description: String {
        let result = code == 0 ? "" : " errno \(code)"
        return "#\(number) \(call.rawValue) \(path) @\(offset)+\(length) \(String(dataHash, radix: 16))\(result)"
    }
}

/// The last calls, and a hash over all of them that does not depend on the process.
struct CallTrace: Sendable {
    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    private var ring: [TraceEntry] = []
    private var next = 0
    var capacity = 4_096

    /// The entries kept, oldest first.
    var entries: [TraceEntry] { Array(ring[next...] + ring[..<next]) }

    mutating func append(_ entry: TraceEntry) {
        var hash = hash
        for byte in entry.call.rawValue.utf8 { CallTrace.mix(&hash, UInt64(byte)) }
        for component in entry.path.components {
            for byte in component.utf8 { CallTrace.mix(&hash, UInt64(byte)) }
            CallTrace.mix(&hash, 0x2F)
        }
        for value in [entry.offset, entry.length, entry.dataHash, UInt64(bitPattern: Int64(entry.code))] {
            CallTrace.mix(&hash, value)
        }
        self.hash = hash
        guard capacity > 0 else { return }
        if ring.count < capacity {
            ring.append(entry)
        } else {
            ring[next] = entry
            next = (next + 1) % capacity
        }
    }

    /// A hash of all bytes in their order. Four sums run side by side, as one alone would wait for each product.
    static func hash(of buffers: [UnsafeRawBufferPointer]) -> UInt64 {
        var sums = SIMD4<UInt64>(
            0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5)
        for index in unsafe buffers.indices {
            let buffer = unsafe buffers[index]
            var byte = 0
            while byte + 32 <= buffer.count {
                let words = unsafe buffer.loadUnaligned(fromByteOffset: byte, as: SIMD4<UInt64>.self)
                for lane in 0..<4 { mix(&sums[lane], words[lane]) }
                byte += 32
            }
            while byte < buffer.count {
                mix(&sums[0], unsafe UInt64(buffer[byte]))
                byte += 1
            }
        }
        var hash = sums[0]
        for lane in 1..<4 { mix(&hash, sums[lane]) }
        return hash
    }

    @inline(__always)
    private static func mix(_ hash: inout UInt64, _ value: UInt64) {
        let product = (hash ^ value) &* 0x9E37_79B9_7F4A_7C15
        hash = product ^ (product >> 29)
    }
}
