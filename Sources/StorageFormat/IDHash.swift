/// The keyed hash of record ids: the id directory, record entries and fingerprints take it, the key stands in the file
/// header.

/// The secret of one database's id hash, random, so that nobody can choose ids that collide.
@usableFromInline
package struct IDHashKey: Sendable, Hashable {
    @usableFromInline package var k0: UInt64
    @usableFromInline package var k1: UInt64

    @inlinable
    package init(k0: UInt64, k1: UInt64) {
        self.k0 = k0
        self.k1 = k1
    }
}

/// SipHash-1-3: one compression round a word, three to finish (Aumasson and Bernstein, *SipHash: a fast short-input
/// PRF*, 2012). A hash is a hint; equality of ids is decided on bytes.
@usableFromInline
package enum IDHash {
    @inlinable
    package static func hash(_ bytes: UnsafeRawBufferPointer, key: IDHashKey) -> UInt64 {
        var state = SipState(key: key)
        let count = bytes.count
        let wordEnd = count & ~7
        var offset = 0
        while offset < wordEnd {
            state.absorb(unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        // The last word: the bytes left over, and the length modulo 256 on top.
        var last = UInt64(truncatingIfNeeded: count) << 56
        var shift: UInt64 = 0
        if count & 4 != 0 {
            last |= UInt64(unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            offset += 4
            shift = 32
        }
        while offset < count {
            last |= UInt64(unsafe bytes[offset]) &<< shift
            offset += 1
            shift += 8
        }
        state.absorb(last)
        #if NEPHRITE_MUTANTS
            if Mutant.isActive(.compareHashes) { return state.finish() & 7 }
        #endif
        return state.finish()
    }
}

/// The four words of SipHash.
@usableFromInline
struct SipState {
    @usableFromInline var v0: UInt64
    @usableFromInline var v1: UInt64
    @usableFromInline var v2: UInt64
    @usableFromInline var v3: UInt64

    @inlinable
    init(key: IDHashKey) {
        v0 = key.k0 ^ 0x736f_6d65_7073_6575
        v1 = key.k1 ^ 0x646f_7261_6e64_6f6d
        v2 = key.k0 ^ 0x6c79_6765_6e65_7261
        v3 = key.k1 ^ 0x7465_6462_7974_6573
    }

    @inlinable
    static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
        (value &<< count) | (value &>> (64 &- count))
    }

    @inlinable
    mutating func round() {
        v0 = v0 &+ v1
        v1 = Self.rotate(v1, 13) ^ v0
        v0 = Self.rotate(v0, 32)
        v2 = v2 &+ v3
        v3 = Self.rotate(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = Self.rotate(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = Self.rotate(v1, 17) ^ v2
        v2 = Self.rotate(v2, 32)
    }

    @inlinable
    mutating func absorb(_ word: UInt64) {
        v3 ^= word
        round()
        v0 ^= word
    }

    @inlinable
    mutating func finish() -> UInt64 {
        v2 ^= 0xff
        round()
        round()
        round()
        return v0 ^ v1 ^ v2 ^ v3
    }
}
