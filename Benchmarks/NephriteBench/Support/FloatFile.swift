/// The harness's data files, mapped read-only: `.fbin` vectors for the workloads and `.ibin` answers to check against.

import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A whole file mapped into memory.
///
// SAFETY: the mapping is read-only, is made once in init and is unmapped in deinit, so all threads may read it.
@safe final class MappedFile: @unchecked Sendable {
    /// The contents.
    let bytes: UnsafeRawBufferPointer

    init(path: String) throws {
        let descriptor = unsafe open(path, O_RDONLY)
        guard descriptor >= 0 else { throw BenchError("cannot open \(path): \(describeErrorNumber())") }
        defer { _ = close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size > 0, let address = unsafe mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0),
            unsafe address != MAP_FAILED
        else { throw BenchError("cannot map \(path): \(describeErrorNumber())") }
        unsafe bytes = UnsafeRawBufferPointer(start: address, count: size)
    }

    deinit {
        unsafe munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    /// Reads a byte of every page, so that later reads meet no page fault.
    func populate(byteCount: Int) {
        var sum: UInt8 = 0
        for offset in stride(from: 0, to: min(byteCount, unsafe bytes.count), by: 4_096) {
            unsafe sum &+= bytes[offset]
        }
        blackHole(sum)
    }
}

/// Vectors of a `.fbin` file: u32 count, u32 dimension, then the rows.
final class FloatFile: Sendable {
    private let file: MappedFile
    /// Rows in the file.
    let count: Int
    /// Components a row.
    let dimension: Int

    init(path: String) throws {
        file = try MappedFile(path: path)
        let header = unsafe file.bytes
        guard header.count >= 8 else { throw BenchError("\(path) has no header") }
        count = unsafe Int(header.loadUnaligned(as: UInt32.self))
        dimension = unsafe Int(header.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard header.count >= 8 + count * dimension * 4 else { throw BenchError("\(path) is too short") }
    }

    /// The components of a range of rows, in place.
    @inline(__always)
    func floats(_ rows: Range<Int>) -> UnsafeBufferPointer<Float> {
        precondition(rows.upperBound <= count)
        return unsafe UnsafeBufferPointer(
            start: (file.bytes.baseAddress.unsafelyUnwrapped + 8 + rows.lowerBound * dimension * 4)
                .assumingMemoryBound(to: Float.self), count: rows.count * dimension)
    }

    /// A copy of one row.
    func row(_ index: Int) -> [Float] { unsafe Array(floats(index..<(index + 1))) }

    /// The first component of a row.
    @inline(__always)
    func firstComponent(_ index: Int) -> Float { unsafe floats(index..<(index + 1))[0] }

    /// Brings the first rows into memory.
    func populate(rows: Int) { file.populate(byteCount: 8 + rows * dimension * 4) }
}

/// The right answers of a data set: ids and scores of the hundred nearest rows of each query.
struct GroundTruth {
    private let file: MappedFile
    private let queryCount: Int
    private let depth: Int

    init(path: String) throws {
        file = try MappedFile(path: path)
        queryCount = unsafe Int(file.bytes.loadUnaligned(as: UInt32.self))
        depth = unsafe Int(file.bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard unsafe file.bytes.count >= 8 + queryCount * depth * 8 else { throw BenchError("\(path) is too short") }
    }

    /// The score of the k-th nearest row of a query, k from 1.
    func score(query: Int, rank: Int) -> Float {
        precondition(query < queryCount && rank >= 1 && rank <= depth)
        let offset = 8 + queryCount * depth * 4 + (query * depth + rank - 1) * 4
        return unsafe file.bytes.loadUnaligned(fromByteOffset: offset, as: Float.self)
    }
}

/// Keeps a value from being optimised away.
@inline(never)
func blackHole<T>(_ value: T) {
    withExtendedLifetime(value) {}
}

/// What the last failed system call said.
func describeErrorNumber() -> String {
    unsafe String(cString: strerror(errno))
}
