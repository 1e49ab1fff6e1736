// Test support: codes of a snapshot or of rows in ordinary memory, complete or with holes.
import CNephrite
import StorageFormat

@testable import Nephrite

/// Planes on the heap.
// SAFETY: written in init only.
@safe final class HeapCodes: CodeMemory, @unchecked Sendable {
    private let planes: UnsafeMutableRawPointer
    private let highByteCount: Int
    private let lowByteCount: Int
    private let chunkByteCount: Int
    private let coded: [UInt64]

    /// Encodes the live rows that `isCoded` names; the others have codes of all ones, which nobody must look at.
    init(_ snapshot: DatabaseSnapshot, codec: VectorCodec, chunkSlotCount: Int, isCoded: (Int) -> Bool) {
        let slotCount = snapshot.records.slotCount
        let chunkCount = max(1, (slotCount + chunkSlotCount - 1) / chunkSlotCount)
        highByteCount = chunkSlotCount * codec.highStride
        lowByteCount = chunkSlotCount * codec.lowStride
        chunkByteCount = highByteCount + lowByteCount + chunkSlotCount * codec.signStride
        unsafe planes = UnsafeMutableRawPointer.allocate(byteCount: chunkCount * chunkByteCount, alignment: 64)
        unsafe planes.initializeMemory(as: UInt8.self, repeating: 0xff, count: chunkCount * chunkByteCount)
        var coded = [UInt64](repeating: 0, count: chunkCount * chunkSlotCount / 64)
        var scratch = VectorCodec.Scratch(dimension: codec.dimension)
        for slot in 0..<slotCount where snapshot.records[slot].isActive && isCoded(slot) {
            let (chunk, row) = slot.quotientAndRemainder(dividingBy: chunkSlotCount)
            let high = unsafe planes + chunk * chunkByteCount + row * codec.highStride
            let low = unsafe planes + chunk * chunkByteCount + highByteCount + row * codec.lowStride
            let signs = unsafe planes + chunk * chunkByteCount + highByteCount + lowByteCount + row * codec.signStride
            unsafe codec.encode(
                snapshot.vectorAddress(UInt32(slot)), stride: snapshot.identity.stride, count: 1, high: high,
                low: low, signs: signs, scratch: &scratch)
            coded[slot / 64] |= 1 << UInt64(slot % 64)
        }
        self.coded = coded
    }

    deinit { unsafe planes.deallocate() }

    func highRows(chunk: Int) -> UnsafeRawPointer { unsafe UnsafeRawPointer(planes + chunk * chunkByteCount) }

    func lowRows(chunk: Int) -> UnsafeRawPointer {
        unsafe UnsafeRawPointer(planes + chunk * chunkByteCount + highByteCount)
    }

    func signRows(chunk: Int) -> UnsafeRawPointer {
        unsafe UnsafeRawPointer(planes + chunk * chunkByteCount + highByteCount + lowByteCount)
    }

    func codedWord(_ index: Int) -> UInt64 { index < coded.count ? coded[index] : 0 }
}

extension DatabaseSnapshot {
    /// Codes of this snapshot, of all rows or of those that `isCoded` names.
    func heapCodes(
        centre: [Float] = [], seed: UInt64 = 7, chunkSlotCount: Int = 128, isCoded: (Int) -> Bool = { _ in true }
    ) -> CodeView {
        let codec = VectorCodec(dimension: options.dimension, seed: seed, centre: centre)
        let memory = HeapCodes(self, codec: codec, chunkSlotCount: chunkSlotCount, isCoded: isCoded)
        let chunks = (records.slotCount + chunkSlotCount - 1) / chunkSlotCount
        return CodeView(
            codec: codec, chunkSlotCount: chunkSlotCount, slotCapacity: chunks * chunkSlotCount, memory: memory)
    }
}

/// The implementations of the code kernels that this machine has.
@safe struct CodeKernels {
    let name: String
    let pointer: OpaquePointer

    static var all: [CodeKernels] {
        var pointers = unsafe [OpaquePointer?](repeating: nil, count: 5)
        let count = unsafe nephrite_code_sets(&pointers, 5)
        return unsafe pointers.prefix(count).compactMap { unsafe $0 }.map { pointer in
            unsafe CodeKernels(name: String(cString: nephrite_code_set_name(pointer)), pointer: pointer)
        }
    }
}

/// A row's code in arrays.
struct EncodedRow {
    var high: [UInt8]
    var low: [UInt8]
    var signs: [UInt8]

    init(_ codec: VectorCodec, _ row: [Float], kernels: CodeKernels? = nil) {
        var high = [UInt8](repeating: 0, count: codec.highStride)
        var low = [UInt8](repeating: 0, count: codec.lowStride)
        var signs = [UInt8](repeating: 0, count: max(1, codec.signStride))
        var scratch = VectorCodec.Scratch(dimension: codec.dimension)
        unsafe row.withUnsafeBytes { row in
            unsafe high.withUnsafeMutableBytes { high in
                unsafe low.withUnsafeMutableBytes { low in
                    unsafe signs.withUnsafeMutableBytes { signs in
                        unsafe codec.encode(
                            row.baseAddress!, stride: row.count, count: 1, high: high.baseAddress!,
                            low: low.baseAddress!, signs: signs.baseAddress!, scratch: &scratch,
                            kernels: kernels?.pointer ?? nephrite_code_set_in_use())
                    }
                }
            }
        }
        self.high = high
        self.low = low
        self.signs = Array(signs.prefix(codec.signStride))
    }

    /// The odd numbers that the nibbles of both planes stand for.
    func values(_ dimension: Int) -> (high: [Int], both: [Int]) {
        var highValues: [Int] = []
        var bothValues: [Int] = []
        let byteCount = high.count - 16
        for index in 0..<dimension {
            let start = index / 128 * 64
            let block = min(64, byteCount - start)
            let place = index % 128
            let shift = place >= block ? 4 : 0
            let upper = Int(high[start + place % block] >> shift) & 15
            let lower = Int(low[start + place % block] >> shift) & 15
            let detail = upper == 15 ? 8 * lower - 12 : upper == 0 ? 8 * lower - 108 : 2 * lower - 15
            highValues.append(2 * upper - 15)
            bothValues.append(16 * (2 * upper - 15) + detail)
        }
        return (highValues, bothValues)
    }
}
