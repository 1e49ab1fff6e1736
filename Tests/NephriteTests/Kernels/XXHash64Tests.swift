// XXH64 of the C target against known answers of the reference implementation.

import CNephrite
import Testing

@Suite struct XXHash64Tests {
    private func hash(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
        unsafe nephrite_xxh64(bytes, bytes.count, seed)
    }

    /// The buffer of xxHash's own sanity check.
    private static let sanityBuffer: [UInt8] = {
        var generator: UInt64 = 2_654_435_761
        return (0..<222).map { _ in
            defer { generator &*= 11_400_714_785_074_694_797 }
            return UInt8(generator >> 56)
        }
    }()

    private static let prime: UInt64 = 2_654_435_761

    @Test(
        "The reference implementation's sanity values hold",
        arguments: [
            (0, 0, 0xef46_db37_51d8_e999), (0, prime, 0xac75_fda2_929b_17ef),
            (1, 0, 0xe934_a84a_db05_2768), (1, prime, 0x5014_6076_43a9_b4c3),
            (4, 0, 0x9136_a0dc_a574_57ee), (14, 0, 0x8282_dcc4_994e_35c8),
            (14, prime, 0xc3bd_6bf6_3deb_6df0), (222, 0, 0xb641_ae8c_b691_c174),
            (222, prime, 0x20cb_8ab7_ae10_c14a),
        ] as [(Int, UInt64, UInt64)])
    func sanity(length: Int, seed: UInt64, expected: UInt64) {
        #expect(hash(Array(Self.sanityBuffer[..<length]), seed: seed) == expected)
    }

    @Test("Short texts hash as published")
    func texts() {
        #expect(hash(Array("a".utf8)) == 0xd24e_c4f1_a98c_6e5b)
        #expect(hash(Array("abc".utf8)) == 0x44bc_2cf5_ad77_0999)
    }

    @Test("Every byte counts, at every length up to 100")
    func everyByteCounts() {
        var values = SeededValues(seed: 4)
        for length in 1...100 {
            var bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: values.bits()) }
            let before = hash(bytes)
            for index in bytes.indices {
                bytes[index] ^= 1
                #expect(hash(bytes) != before, "byte \(index) of \(length)")
                bytes[index] ^= 1
            }
        }
    }
}
