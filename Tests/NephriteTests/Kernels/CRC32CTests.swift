// CRC-32C of the C target: known answers, every implementation against the portable one, continuation.

import CNephrite
import Testing

@Suite struct CRC32CTests {
    private static let names = ["vpclmul", "sse4.2", "armv8", "portable"]

    private func checksum(_ bytes: [UInt8], using name: String, continuing crc: UInt32 = 0) -> UInt32? {
        var result: UInt32 = 0
        return unsafe nephrite_crc32c_using(name, crc, bytes, bytes.count, &result) == 1 ? result : nil
    }

    private static let readCommand: [UInt8] = [
        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
        0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ]

    private static let vectors: [(bytes: [UInt8], checksum: UInt32)] = [
        ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
        ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
        ([UInt8](0..<32), 0x46dd_794e),
        ((0..<32).map { 31 - UInt8($0) }, 0x113f_db5c),
        (readCommand, 0xd996_3a56),
        (Array("123456789".utf8), 0xe306_9283),
        ([], 0),
    ]

    @Test("The vectors of RFC 3720 B.4 have the checksums printed there", arguments: names)
    func knownAnswers(name: String) {
        for vector in Self.vectors {
            if let checksum = checksum(vector.bytes, using: name) {
                #expect(checksum == vector.checksum)
            }
            #expect(unsafe nephrite_crc32c(0, vector.bytes, vector.bytes.count) == vector.checksum)
        }
    }

    @Test("The portable implementation is everywhere, and the one in use is one of those that can be named")
    func availability() {
        #expect(checksum([1], using: "portable") != nil)
        #expect(checksum([1], using: "unheard-of") == nil)
        #expect(checksum([1], using: unsafe String(cString: nephrite_crc32c_implementation())) != nil)
    }

    @Test("Every length up to 4096 agrees with the portable implementation", arguments: names)
    func everyLength(name: String) {
        var values = SeededValues(seed: 1)
        let bytes = (0..<4160).map { _ in UInt8(truncatingIfNeeded: values.bits()) }
        var disagreements: [Int] = []
        unsafe bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            for length in 0...4096 {
                let start = unsafe base + length % 64
                let crc = UInt32(truncatingIfNeeded: length &* 0x9e37_79b9)
                var result: UInt32 = 0
                guard unsafe nephrite_crc32c_using(name, crc, start, length, &result) == 1 else { return }
                if unsafe nephrite_crc32c_portable(crc, start, length) != result { disagreements.append(length) }
            }
        }
        #expect(disagreements == [])
    }

    @Test("Every alignment agrees with the portable implementation", arguments: names)
    func everyAlignment(name: String) {
        var values = SeededValues(seed: 2)
        let bytes = (0..<8192).map { _ in UInt8(truncatingIfNeeded: values.bits()) }
        unsafe bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            for alignment in 0..<64 {
                for length in [
                    0, 1, 7, 8, 63, 64, 95, 96, 127, 128, 191, 383, 384, 511, 512, 767, 768, 3072, 4096, 7001,
                ] {
                    let start = unsafe base + alignment
                    var result: UInt32 = 0
                    guard unsafe nephrite_crc32c_using(name, 7, start, length, &result) == 1 else { return }
                    #expect(unsafe result == nephrite_crc32c_portable(7, start, length), "\(alignment), \(length)")
                }
            }
        }
    }

    @Test("A checksum can be continued from any cut", arguments: names)
    func continuation(name: String) throws {
        var values = SeededValues(seed: 3)
        let bytes = (0..<1500).map { _ in UInt8(truncatingIfNeeded: values.bits()) }
        guard let whole = checksum(bytes, using: name) else { return }
        for cut in stride(from: 0, through: bytes.count, by: 13) {
            let front = try #require(checksum(Array(bytes[..<cut]), using: name))
            #expect(checksum(Array(bytes[cut...]), using: name, continuing: front) == whole, "cut at \(cut)")
        }
    }
}
