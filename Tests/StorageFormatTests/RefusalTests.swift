/// What parsers refuse at their edges: sizes beyond a limit, places that do not exist, copies of a later version, and
/// bytes in the order of another machine.
import Foundation
import Testing

@testable import StorageFormat

@Suite struct RefusalTests {
    private func kind<R>(_ body: () throws(FormatError) -> R) -> FormatError.Kind? {
        do throws(FormatError) {
            _ = try body()
            return nil
        } catch {
            return error.kind
        }
    }

    @Test("A header page that does not exist is not read, and one with more extents than fit is not valid")
    func headers() throws {
        let page = Fixtures.header.encode(pageIndex: 0)
        for index in [-1, 4] {
            #expect(
                kind { () throws(FormatError) in
                    try unsafe page.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                        try unsafe FileHeader.decode(bytes, pageIndex: index)
                    }
                } == .outOfBounds)
        }
        var header = Fixtures.header
        header.extents = (0...FormatLimits.extentCount).map {
            Extent(kind: .vectors, startUnit: UInt32(1 + $0), unitCount: 1)
        }
        #expect(kind { () throws(FormatError) in try header.validate(fileSize: .max) } == .outOfBounds)
        header.isClean = true
        #expect(header.flags.contains(.clean))
        header.isClean = false
        #expect(!header.flags.contains(.clean))
    }

    @Test("A catalogue in the byte order of another machine is said to be that")
    func catalogues() throws {
        let magic = Catalogue.magic
        for (value, expected) in [(magic.byteSwapped, FormatError.Kind.wrongEndianness), (magic ^ 1, .badMagic)] {
            let bytes = unsafe withUnsafeBytes(of: value) { unsafe Array($0) } + [UInt8](repeating: 0, count: 8_188)
            #expect(
                kind { () throws(FormatError) in
                    try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                        _ = try unsafe Catalogue.decodeFile(bytes)
                    }
                } == expected)
        }
    }

    @Test("A catalogue in whose second half something stands behind the copy has one copy only")
    func misplacedCopy() throws {
        let file = Fixtures.catalogue.encodeFile()
        let copy = Array(file[..<(file.count / 2)])
        let (whole, none) = try unsafe file.withUnsafeBytesTyped { (bytes) throws(FormatError) in
            try unsafe Catalogue.decodeFile(bytes)
        }
        #expect(none == [])
        let longer = (copy + [UInt8](repeating: 0, count: 4_096)) + (copy + [UInt8](repeating: 0, count: 4_096))
        let (found, damaged) = try unsafe longer.withUnsafeBytesTyped { (bytes) throws(FormatError) in
            try unsafe Catalogue.decodeFile(bytes)
        }
        #expect(found == whole && damaged == [1])
    }

    @Test("A log segment of which only the copy of a later version can be read is said to be that")
    func laterSegment() throws {
        let header = Fixtures.segment
        var later = header.encode(copy: 1)
        later.put(UInt16(FormatVersion.current + 1), at: 4)
        later.put(UInt16(FormatVersion.current + 1), at: 6)
        later = later.resealed(label: "NWSG header", index: 1)
        let lost = [UInt8](repeating: 0, count: SegmentHeader.copyByteCount)
        func decode(_ bytes: [UInt8]) -> FormatError.Kind? {
            kind { () throws(FormatError) in
                try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                    try unsafe SegmentHeader.decode(bytes)
                }
            }
        }
        #expect(
            decode(lost + later) == .newerVersion(found: FormatVersion.current + 1, supported: FormatVersion.current))
        // With neither of them it is the first one that is told of.
        later[100] ^= 1
        #expect(decode(lost + later) == .badMagic)
        #expect(decode(lost + header.encode(copy: 1)) == nil)
    }

    @Test("Metadata longer than a record may have are not looked at, and nesting ends at a limit")
    func metadata() {
        let long = [UInt8](repeating: 0, count: FormatLimits.metadataByteCount + 1)
        #expect(
            kind { () throws(FormatError) in
                try unsafe long.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                    try unsafe MetadataCodec.validate(bytes)
                }
            } == .outOfBounds)
        func nested(_ depth: Int) -> FormatError.Kind? {
            kind { () throws(FormatError) in
                var writer = MetadataWriter()
                writer.field("a")
                for _ in 0..<depth { writer.beginArray() }
                for _ in 0..<depth { writer.endArray() }
                _ = try writer.finish()
            }
        }
        #expect(nested(FormatLimits.metadataDepth - 1) == nil && nested(FormatLimits.metadataDepth + 1) != nil)
    }

    @Test("No bytes leave a checksum as it is")
    func checksums() {
        let empty = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(unsafe CRC32C.checksum(empty, continuing: 0x1234_5678) == 0x1234_5678)
    }
}

extension [UInt8] {
    /// Lends the bytes, with the error's type kept.
    fileprivate func withUnsafeBytesTyped<R>(
        _ body: (UnsafeRawBufferPointer) throws(FormatError) -> R
    ) throws(FormatError) -> R {
        let result: Result<R, FormatError> = unsafe withUnsafeBytes { bytes in
            do throws(FormatError) { return .success(try unsafe body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
