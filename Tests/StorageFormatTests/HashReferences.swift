/// Slow, literal formulations of the hashes, which the hash tests compare the module with.
import StorageFormat

func idHash(_ bytes: [UInt8], key: IDHashKey) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe IDHash.hash($0, key: key) }
}

func batchHash(_ bytes: [UInt8], continuing hash: UInt64) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe CommitBody.hash($0, continuing: hash) }
}

/// SipHash-c-d as the paper draws it: words from bytes, a list of four, rounds as written.
enum ReferenceSip {
    static func hash(_ bytes: [UInt8], key: IDHashKey, compressions: Int, finals: Int) -> UInt64 {
        var v = [
            key.k0 ^ 0x736f_6d65_7073_6575, key.k1 ^ 0x646f_7261_6e64_6f6d, key.k0 ^ 0x6c79_6765_6e65_7261,
            key.k1 ^ 0x7465_6462_7974_6573,
        ]
        var padded = bytes
        while padded.count % 8 != 7 { padded.append(0) }
        padded.append(UInt8(bytes.count % 256))
        for start in stride(from: 0, to: padded.count, by: 8) {
            let word = padded.integer(UInt64.self, at: start)
            v[3] ^= word
            for _ in 0..<compressions { round(&v) }
            v[0] ^= word
        }
        v[2] ^= 0xff
        for _ in 0..<finals { round(&v) }
        return v.reduce(0, ^)
    }

    private static func round(_ v: inout [UInt64]) {
        func rotated(_ x: UInt64, _ n: Int) -> UInt64 { x << UInt64(n) | x >> UInt64(64 - n) }
        v[0] &+= v[1]
        v[2] &+= v[3]
        v[1] = rotated(v[1], 13) ^ v[0]
        v[3] = rotated(v[3], 16) ^ v[2]
        v[0] = rotated(v[0], 32)
        v[2] &+= v[1]
        v[0] &+= v[3]
        v[1] = rotated(v[1], 17) ^ v[2]
        v[3] = rotated(v[3], 21) ^ v[0]
        v[2] = rotated(v[2], 32)
    }
}

/// The fingerprint's hash with 128-bit integers.
enum ReferenceFingerprint {
    static func hash(idHash: UInt64, lsn: UInt64, contentChecksum: UInt32) -> StateFingerprint {
        let placed = lsn ^ (UInt64(contentChecksum) << 32)
        return StateFingerprint(
            low: mix(idHash ^ 0x243f_6a88_85a3_08d3, placed ^ 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d1),
            high: mix(idHash ^ 0x082e_fa98_ec4e_6c89, placed ^ 0x4528_21e6_38d0_1377, 0xbe54_66cf_34e9_0c6d))
    }

    private static func mix(_ a: UInt64, _ b: UInt64, _ multiplier: UInt64) -> UInt64 {
        let product = UInt128(a) * UInt128(b)
        var x = UInt64(truncatingIfNeeded: product >> 64) ^ UInt64(truncatingIfNeeded: product)
        x ^= x >> 32
        x = UInt64(truncatingIfNeeded: UInt128(x) * UInt128(multiplier))
        return x ^ (x >> 29)
    }
}
