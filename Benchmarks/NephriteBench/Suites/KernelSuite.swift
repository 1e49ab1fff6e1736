/// `kernels`: the float32 and code kernels in the cache against plain C, and over a mapped file against the heap.

import CNephrite
import Foundation

/// Measures inner products of 768 components, and a scan of codes of the high plane.
func measureKernels(_ options: SuiteOptions) async throws -> [Measurement] {
    var result = try measureInCache(options)
    result.append(try measureMapped(options))
    return result
}

private let dimension = 768

/// 192 KiB of rows, which stay in the second cache; aligned as those of a database are. Plain C is what the compiler makes of
/// the portable kernels: it has vectors of four floats, or of what else every such processor has.
private func measureInCache(_ options: SuiteOptions) throws -> [Measurement] {
    let rowCount = 64
    var floats: [Float] = []
    SyntheticVectors.append(rows: rowCount + 1, dimension: dimension, seed: 7, to: &floats)
    var scores = [Float](repeating: 0, count: rowCount)
    var sets = unsafe [OpaquePointer?](repeating: nil, count: 4)
    let count = unsafe nephrite_kernel_sets(&sets, 4)
    guard let best = unsafe sets[0], let portable = unsafe sets[count - 1] else { throw BenchError("no kernels") }
    let aligned = UnsafeMutableRawPointer.allocate(byteCount: (rowCount + 1) * dimension * 4, alignment: 64)
    defer { unsafe aligned.deallocate() }
    unsafe floats.withUnsafeBytes { unsafe aligned.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    let query = unsafe (aligned + rowCount * dimension * 4).assumingMemoryBound(to: Float.self)
    var dots = Measurement(label: "inner products in cache / portable", unit: "M rows/s", goal: .ratioAtLeast(4))
    for _ in 0..<options.repeatCount {
        for isReference in [false, true] {
            let set = unsafe isReference ? portable : best
            let rate = rowRate(rows: rowCount) {
                unsafe nephrite_dot_rows_using(set, query, aligned, dimension * 4, rowCount, dimension, &scores)
            }
            if isReference { dots.reference.append(rate) } else { dots.ours.append(rate) }
        }
    }
    return [dots, try measureCodes(floats, rowCount: rowCount, options)]
}

/// Scans a block of codes with integer weights of our own.
private func measureCodes(_ floats: [Float], rowCount: Int, _ options: SuiteOptions) throws -> Measurement {
    var sets = unsafe [OpaquePointer?](repeating: nil, count: 5)
    let count = unsafe nephrite_code_sets(&sets, 5)
    guard let best = unsafe sets[0], let portable = unsafe sets[count - 1] else { throw BenchError("no kernels") }
    var signs = [Float](repeating: 0, count: nephrite_rotation_sign_count(dimension))
    unsafe nephrite_rotation_signs(dimension, 1, &signs)
    let stride = nephrite_code_nibble_bytes(dimension) + Int(nephrite_code_factor_bytes)
    var high = [UInt8](repeating: 0, count: rowCount * stride)
    var low = high
    var signPlane = [UInt8](repeating: 0, count: rowCount * nephrite_code_sign_stride(dimension))
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: nephrite_encode_scratch(dimension), alignment: 64)
    defer { unsafe scratch.deallocate() }
    unsafe signs.withUnsafeBufferPointer { signs in
        unsafe floats.withUnsafeBytes { floats in
            var codec = unsafe nephrite_codec(dimension: dimension, signs: signs.baseAddress, centre: nil)
            unsafe nephrite_encode_rows(
                best, &codec, floats.baseAddress!, dimension * 4, rowCount, &high, &low, &signPlane, scratch)
        }
    }
    let weights = (0..<2 * dimension).map { Int16(truncatingIfNeeded: ($0 &* 7_919) % 4_001 - 2_000) }
    let bytes = weights.map { Int8(truncatingIfNeeded: $0) }
    var measurement = Measurement(label: "codes in cache / portable", unit: "M rows/s", goal: .ratioAtLeast(4))
    var lower = [Float](repeating: 0, count: 64)
    var upper = lower
    unsafe weights.withUnsafeBufferPointer { weights in
        unsafe bytes.withUnsafeBufferPointer { bytes in
            var query = unsafe nephrite_code_query()
            unsafe query.dimension = dimension
            unsafe query.fine = weights.baseAddress
            unsafe query.fine_high = bytes.baseAddress
            unsafe query.fine_low = bytes.baseAddress
            unsafe query.coarse = bytes.baseAddress
            for _ in 0..<options.repeatCount {
                for isReference in [false, true] {
                    let set = unsafe isReference ? portable : best
                    let rate = rowRate(rows: rowCount) {
                        unsafe blackHole(
                            nephrite_code_scan(set, &query, high, .max, .infinity, &lower, &upper))
                    }
                    if isReference { measurement.reference.append(rate) } else { measurement.ours.append(rate) }
                }
            }
        }
    }
    return measurement
}

/// Millions of rows a second, over a tenth of a second.
private func rowRate(rows: Int, _ body: () -> Void) -> Double {
    body()
    let start = nanoseconds()
    var rounds = 0
    while seconds(since: start) < 0.1 {
        for _ in 0..<50 { body() }
        rounds += 50
    }
    return Double(rounds * rows) / seconds(since: start) / 1e6
}

/// The inner products of the mapped rows of the synthetic 768-d set, and of a copy on the heap.
private func measureMapped(_ options: SuiteOptions) throws -> Measurement {
    let file = try MappedFile(path: "\(Dataset.root)/syn768/base.fbin")
    let rowCount = min(200_000, unsafe file.bytes.count / (dimension * 4) - 1)
    let byteCount = rowCount * dimension * 4
    file.populate(byteCount: byteCount + 8)
    let heap = UnsafeMutableRawPointer.allocate(byteCount: byteCount + 8, alignment: 4_096)
    defer { unsafe heap.deallocate() }
    unsafe heap.copyMemory(from: file.bytes.baseAddress!, byteCount: byteCount + 8)
    var query: [Float] = []
    SyntheticVectors.append(rows: 1, dimension: dimension, seed: 5, to: &query)
    var scores = [Float](repeating: 0, count: 128)
    func pass(_ start: UnsafeRawPointer) -> Double {
        let begin = nanoseconds()
        for first in stride(from: 0, to: rowCount / 128 * 128, by: 128) {
            unsafe nephrite_dot_rows(
                query, start + 8 + first * dimension * 4, dimension * 4, 128, dimension, &scores)
        }
        return seconds(since: begin)
    }
    var measurement = Measurement(label: "mapped rows / rows on the heap", unit: "ms", goal: .ratioAtMost(1.05))
    for _ in 0..<max(5, options.repeatCount) {
        unsafe measurement.ours.append(pass(file.bytes.baseAddress!) * 1e3)
        unsafe measurement.reference.append(pass(heap) * 1e3)
    }
    return measurement
}
