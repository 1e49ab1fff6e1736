/// The reader of `.npy` files: versions, element types, and headers nobody should believe.
import Foundation
import Testing

@testable import NephriteCLI

@Suite struct NumPyTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(_ bytes: [UInt8]) throws -> any RowReader {
        try DatasetFormat.npy.open(directory.write(bytes, to: "array.npy"))
    }

    @Test("reads versions 1, 2 and 3", arguments: [1, 2, 3] as [UInt8])
    func versions(_ version: UInt8) throws {
        let description = SampleBytes.npyDescription("<f4", 2, 2)
        let bytes = SampleBytes.npy(description, version: version, data: SampleBytes.floats([1, 2, 3, 4]))
        #expect(try allRows(open(bytes)).vectors == [1, 2, 3, 4])
    }

    @Test("reads float64, float16 and uint8")
    func elements() throws {
        let doubles = [1.5, -0.1].flatMap { number in
            (0..<8).map { UInt8(truncatingIfNeeded: number.bitPattern >> ($0 * 8)) }
        }
        let f8 = SampleBytes.npy(SampleBytes.npyDescription("<f8", 1, 2), data: doubles)
        #expect(try allRows(open(f8)).vectors == [1.5, -0.1])
        // 1, -2, the largest half, the smallest subnormal half (IEEE 754-2008, binary16).
        let halves: [UInt8] = [0x00, 0x3C, 0x00, 0xC0, 0xFF, 0x7B, 0x01, 0x00]
        let f2 = SampleBytes.npy(SampleBytes.npyDescription("<f2", 2, 2), data: halves)
        #expect(try allRows(open(f2)).vectors == [1, -2, 65_504, 0x1p-24])
        let u1 = SampleBytes.npy(SampleBytes.npyDescription("|u1", 1, 3), data: [0, 7, 255])
        #expect(try allRows(open(u1)).vectors == [0, 7, 255])
    }

    @Test("halves that are infinite or NaN stay so")
    func specialHalves() {
        #expect(VectorElement.float(half: 0x7C00) == .infinity)
        #expect(VectorElement.float(half: 0xFC00) == -.infinity)
        #expect(VectorElement.float(half: 0x7E00).isNaN)
        #expect(VectorElement.float(half: 0x8000).sign == .minus)
    }

    @Test(
        "refuses what it cannot read, and says why",
        arguments: [
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", "Fortran"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", "1 dimensions"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 2), }", "3 dimensions"),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2), }", ">f4"),
            ("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2), }", "<i8"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2), }", "description"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", "2 rows of 0"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }", "claims"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2), }", "description"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -2), }", "description"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2", "description"),
            ("{'descr': '<f4', 'fortran_order': Fal", "description"),
            ("{'descr': '<f4", "description"),
            ("{'shape': (2, 2), }", "lacks"),
            ("{}", "lacks"),
            ("", "description"),
        ])
    func refuses(_ description: String, _ reason: String) throws {
        let bytes = SampleBytes.npy(description, data: SampleBytes.floats([1, 2, 3, 4]))
        let error = #expect(throws: CommandError.self) { try open(bytes) }
        #expect(error?.exitCode == .dataError)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    }

    @Test("a header length beyond reason is refused")
    func hostileLength() throws {
        let bytes = [0x93] + Array("NUMPY".utf8) + [2, 0, 0xFF, 0xFF, 0xFF, 0xFF]
        let error = #expect(throws: CommandError.self) { try open(bytes) }
        #expect(error?.message.contains("4294967295") == true)
    }

    @Test("no changed byte of the header makes it trap")
    func mutations() throws {
        let description = SampleBytes.npyDescription("<f4", 2, 2)
        let good = SampleBytes.npy(description, data: SampleBytes.floats([1, 2, 3, 4]))
        var refused = 0
        for index in 0..<128 {
            for value in [0, 0x27, 0x28, 0x29, 0x2C, 0x39, 0x7D, 0x80, 0xFF] as [UInt8] {
                var bytes = good
                bytes[index] = value
                do {
                    _ = try allRows(open(bytes))
                } catch let error as CommandError {
                    #expect(error.exitCode == .dataError)
                    refused += 1
                }
            }
        }
        #expect(refused > 400)
    }
}
