/// Turns vectors into codes: a seeded rotation, then 4 + 4 bits a component in two planes, and signs in a third. The encoder hands it rows and
/// stores what it makes; a search makes a ``CodeQuery`` with it.
import CNephrite

/// How the vectors of a database are encoded: a pure function of the vector's bytes and of these parameters.
///
/// A code is the same whatever kernels the machine has. See the article *How search works* for what is in it.
struct VectorCodec: Sendable {
    /// Changes when the bytes of a code change, or their places in the file.
    static let version: UInt32 = 3

    /// Components of a vector.
    let dimension: Int
    /// Decides the rotation.
    let seed: UInt64
    /// Subtracted before the rotation; `dimension` components, or none for zero.
    let centre: [Float]
    let tables: CodecTables

    /// - Parameters:
    ///   - dimension: 1 … 65,536.
    ///   - seed: any number; the same one gives the same codes.
    ///   - centre: `dimension` finite components, or none.
    init(dimension: Int, seed: UInt64, centre: [Float]) {
        precondition(dimension >= 1 && dimension <= 65_536, "a dimension the kernels are made for")
        precondition(centre.isEmpty || centre.count == dimension, "a centre is a vector of the database")
        self.dimension = dimension
        self.seed = seed
        self.centre = centre
        tables = CodecTables(dimension: dimension, seed: seed, centre: centre)
    }

    /// Bytes of a row of the high plane: nibbles, then factors; a multiple of 16.
    var highStride: Int { nephrite_code_nibble_bytes(dimension) + Int(nephrite_code_factor_bytes) }

    /// Bytes of a row of the low plane; a multiple of 16.
    var lowStride: Int { highStride }

    /// Bytes of a row of the plane of signs; a multiple of 16, or 0 if vectors are too short for one.
    var signStride: Int { nephrite_code_sign_stride(dimension) }

    /// Encodes rows; never fails: a row that cannot be bounded by a code gets one whose bound is infinite.
    ///
    /// - Parameters:
    ///   - rows: the first row, aligned to 4 bytes; finite components.
    ///   - stride: bytes from one row to the next.
    ///   - high: room for `count` rows of the high plane, ``highStride`` bytes each.
    ///   - low: room for `count` rows of the low plane.
    ///   - signs: room for `count` rows of the plane of signs.
    ///   - scratch: this thread's.
    func encode(
        _ rows: UnsafeRawPointer, stride: Int, count: Int, high: UnsafeMutableRawPointer,
        low: UnsafeMutableRawPointer, signs: UnsafeMutableRawPointer, scratch: inout Scratch
    ) {
        unsafe encode(
            rows, stride: stride, count: count, high: high, low: low, signs: signs, scratch: &scratch,
            kernels: nephrite_code_set_in_use())
    }

    /// The same with kernels of the caller's choice.
    func encode(
        _ rows: UnsafeRawPointer, stride: Int, count: Int, high: UnsafeMutableRawPointer,
        low: UnsafeMutableRawPointer, signs: UnsafeMutableRawPointer, scratch: inout Scratch, kernels: OpaquePointer
    ) {
        precondition(scratch.dimension == dimension, "the scratch memory of another codec")
        unsafe nephrite_encode_rows(kernels, tables.codec, rows, stride, count, high, low, signs, scratch.bytes)
    }

    /// Rotates a vector, less the centre if asked.
    ///
    /// - Returns: the components, padded with zeros to a multiple of 32.
    func rotated(_ vector: [Float], subtractingCentre: Bool) -> [Float] {
        precondition(vector.count == dimension)
        let count = nephrite_code_padded(dimension)
        return unsafe [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            unsafe vector.withUnsafeBufferPointer { vector in
                unsafe nephrite_rotate(
                    nephrite_code_set_in_use(), tables.codec, vector.baseAddress!, subtractingCentre ? 1 : 0,
                    buffer.baseAddress!)
            }
            initialized = count
        }
    }

    /// Memory for encoding; one for each thread.
    @safe struct Scratch: ~Copyable {
        let dimension: Int
        let bytes: UnsafeMutableRawPointer

        init(dimension: Int) {
            self.dimension = dimension
            unsafe bytes = UnsafeMutableRawPointer.allocate(
                byteCount: nephrite_encode_scratch(dimension), alignment: 64)
        }

        deinit { unsafe bytes.deallocate() }
    }
}

/// The rotation's signs and the centre, where the kernels find them.
// SAFETY: written in init only; the memory is freed in deinit.
@safe final class CodecTables: @unchecked Sendable {
    private let floats: UnsafeMutablePointer<Float>
    let codec: UnsafeMutablePointer<nephrite_codec>

    init(dimension: Int, seed: UInt64, centre: [Float]) {
        let signCount = nephrite_rotation_sign_count(dimension)
        unsafe floats = UnsafeMutablePointer<Float>.allocate(capacity: signCount + centre.count)
        unsafe nephrite_rotation_signs(dimension, seed, floats)
        var start: UnsafeMutablePointer<Float>?
        if !centre.isEmpty {
            unsafe start = floats + signCount
            unsafe (floats + signCount).initialize(from: centre, count: centre.count)
        }
        unsafe codec = UnsafeMutablePointer<nephrite_codec>.allocate(capacity: 1)
        unsafe codec.initialize(to: nephrite_codec(dimension: dimension, signs: floats, centre: start))
    }

    deinit {
        unsafe codec.deallocate()
        unsafe floats.deallocate()
    }
}
