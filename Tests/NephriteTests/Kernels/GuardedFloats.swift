// Test support of the C target: floats that end where readable memory ends, seeded values, and the kernel sets.

import CNephrite

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Room for floats whose last byte is the last before an inaccessible page: a read past the end kills the test.
@safe final class GuardedFloats {
    let base: UnsafeMutablePointer<Float>
    private let mapping: UnsafeMutableRawPointer
    private let byteCount: Int
    let capacity: Int

    init(capacity: Int) {
        let pageByteCount = Int(getpagesize())
        let body = (capacity * 4 + pageByteCount - 1) / pageByteCount * pageByteCount
        byteCount = body + pageByteCount
        let flags = MAP_PRIVATE | MAP_ANON
        guard let address = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0),
            unsafe address != MAP_FAILED, unsafe mprotect(address + body, pageByteCount, PROT_NONE) == 0
        else { fatalError("no memory for a guarded mapping") }
        unsafe mapping = address
        self.capacity = capacity
        unsafe base = (address + body - capacity * 4).bindMemory(to: Float.self, capacity: capacity)
    }

    deinit {
        _ = unsafe munmap(mapping, byteCount)
    }

    /// Where `count` floats start that end at the guard.
    func last(_ count: Int) -> UnsafeMutablePointer<Float> { unsafe base + (capacity - count) }
}

/// A reproducible stream of values (SplitMix64, Steele et al. 2014).
struct SeededValues {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func bits() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(bits() % UInt64(bound)) }

    /// Uniform in −1 ..< 1.
    mutating func float() -> Float { Float(Int64(bitPattern: bits()) >> 40) / 8_388_608 }

    mutating func floats(_ count: Int, scale: Float = 1) -> [Float] { (0..<count).map { _ in float() * scale } }
}

/// The kernel sets of this machine.
@safe struct KernelSet {
    let name: String
    let pointer: OpaquePointer

    static var all: [KernelSet] {
        var pointers = unsafe [OpaquePointer?](repeating: nil, count: 4)
        let count = unsafe nephrite_kernel_sets(&pointers, 4)
        return unsafe pointers.prefix(count).compactMap { unsafe $0 }.map { pointer in
            unsafe KernelSet(name: String(cString: nephrite_kernel_set_name(pointer)), pointer: pointer)
        }
    }
}
