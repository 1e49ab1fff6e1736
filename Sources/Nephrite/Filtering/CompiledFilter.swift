/// A filter made ready to be asked about many records: a flat program of tests, each with the place to go on at when it
/// holds and when it does not. ``Filter`` is compiled into it; scans hand it metadata where it lies.
import CNephrite
import StorageFormat

// SAFETY: the memory behind the pointers is written in `init` only, and freed when nobody refers to the program any more.
@safe final class CompiledFilter: @unchecked Sendable {
    /// What one instruction asks of the value it finds; ranges lie in `pool`, `scalars` and `composites`.
    enum Test {
        case exists
        case equals(FilterScalar)
        case equalsComposite(Range<Int>)
        /// Limits of the value, each with whether it is itself allowed; at least one of them.
        case bounds(lower: FilterScalar?, includesLower: Bool, upper: FilterScalar?, includesUpper: Bool)
        case isIn(scalars: Range<Int>, composites: Range<Int>)
        case contains(FilterScalar)
        case containsComposite(Range<Int>)
        case prefix(Range<Int>)
    }

    struct Instruction {
        var test: Test
        /// Which of `keys` lead to the value.
        var path: Range<Int>
        var onTrue: Int
        var onFalse: Int
    }

    static let accept = -1
    static let reject = -2

    let filter: Filter
    /// Where evaluation begins: an instruction, `accept` or `reject`.
    let entry: Int
    let instructions: UnsafeBufferPointer<Instruction>
    let keys: UnsafeBufferPointer<Range<Int>>
    let scalars: UnsafeBufferPointer<FilterScalar>
    let composites: UnsafeBufferPointer<Range<Int>>
    let pool: UnsafeRawBufferPointer

    /// - Throws: what is wrong with the filter.
    init(_ filter: Filter) throws(StoreError) {
        if let problem = filter.problem { throw problem }
        self.filter = filter
        var compiler = FilterCompiler()
        entry = compiler.compile(filter.node, onTrue: Self.accept, onFalse: Self.reject)
        unsafe instructions = Self.copy(compiler.instructions)
        unsafe keys = Self.copy(compiler.keys)
        unsafe scalars = Self.copy(compiler.scalars)
        unsafe composites = Self.copy(compiler.composites)
        unsafe pool = UnsafeRawBufferPointer(Self.copy(compiler.pool))
    }

    private static func copy<Element>(_ elements: [Element]) -> UnsafeBufferPointer<Element> {
        let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: elements.count)
        _ = unsafe buffer.initialize(fromContentsOf: elements)
        return UnsafeBufferPointer(buffer)
    }

    deinit {
        // All of it is trivial: nothing to deinitialise.
        unsafe instructions.deallocate()
        unsafe keys.deallocate()
        unsafe scalars.deallocate()
        unsafe composites.deallocate()
        unsafe pool.deallocate()
    }

    /// Whether it holds for every record, or for none, whatever they are; nil if that depends.
    var constant: Bool? { entry == Self.accept ? true : entry == Self.reject ? false : nil }
}

/// Makes the program: each node is compiled knowing where to go on when it holds and when not, so connectives and
/// negations leave no instruction behind.
struct FilterCompiler {
    private(set) var instructions: [CompiledFilter.Instruction] = []
    private(set) var keys: [Range<Int>] = []
    private(set) var scalars: [FilterScalar] = []
    private(set) var composites: [Range<Int>] = []
    private(set) var pool: [UInt8] = []

    /// The place to begin at. Parts are compiled from the last to the first, so that every jump has its target.
    mutating func compile(_ node: FilterNode, onTrue: Int, onFalse: Int) -> Int {
        switch node {
        case .constant(let value): return value ? onTrue : onFalse
        case .not(let inner): return compile(inner, onTrue: onFalse, onFalse: onTrue)
        case .and(let parts):
            return parts.reversed().reduce(onTrue) { next, part in compile(part, onTrue: next, onFalse: onFalse) }
        case .or(let parts):
            return parts.reversed().reduce(onFalse) { next, part in compile(part, onTrue: onTrue, onFalse: next) }
        case .test(let path, .notEquals(let value)):
            return compile(.test(path, .equals(value)), onTrue: onFalse, onFalse: onTrue)
        case .test(let path, let test):
            guard let compiled = compile(test) else { return onFalse }
            // Where both lead to the same place there is nothing to ask.
            if onTrue == onFalse { return onTrue }
            let first = keys.count
            for key in path.keys { keys.append(append(key)) }
            instructions.append(
                CompiledFilter.Instruction(
                    test: compiled, path: first..<keys.count, onTrue: onTrue, onFalse: onFalse))
            return instructions.count - 1
        }
    }

    /// A test's form in the program; nil if it can hold for no value.
    private mutating func compile(_ test: FieldTest) -> CompiledFilter.Test? {
        switch test {
        case .exists: return .exists
        case .equals(let value):
            if let scalar = scalar(value) { return isNaN(scalar) ? nil : .equals(scalar) }
            return composite(value).map { .equalsComposite($0) }
        case .contains(let value):
            if let scalar = scalar(value) { return isNaN(scalar) ? nil : .contains(scalar) }
            return composite(value).map { .containsComposite($0) }
        case .prefix(let text): return .prefix(append(text))
        case .isIn(let values): return list(values)
        case .less(let value): return bounds(nil, false, value, false)
        case .atMost(let value): return bounds(nil, false, value, true)
        case .greater(let value): return bounds(value, false, nil, false)
        case .atLeast(let value): return bounds(value, true, nil, false)
        case .between(let lower, let upper): return bounds(lower, true, upper, true)
        case .notEquals: preconditionFailure("compiled as the negation of equals")
        }
    }

    private mutating func list(_ values: [MetadataValue]) -> CompiledFilter.Test? {
        var members: [FilterScalar] = []
        let firstComposite = composites.count
        for value in values {
            if let scalar = scalar(value) {
                if !isNaN(scalar) { members.append(scalar) }
            } else if let range = composite(value) {
                composites.append(range)
            }
        }
        if members.isEmpty, composites.count == firstComposite { return nil }
        let pool = pool
        unsafe pool.withUnsafeBytes { bytes in
            members.sort { unsafe ScalarOrder.compare($0, in: bytes, $1, in: bytes) < 0 }
        }
        let first = scalars.count
        scalars += members
        return .isIn(scalars: first..<scalars.count, composites: firstComposite..<composites.count)
    }

    private mutating func bounds(
        _ lower: MetadataValue?, _ includesLower: Bool, _ upper: MetadataValue?, _ includesUpper: Bool
    ) -> CompiledFilter.Test? {
        var limits: [FilterScalar?] = []
        for value in [lower, upper] {
            guard let value else {
                limits.append(nil)
                continue
            }
            switch scalar(value) {
            case .some(.integer(let number)): limits.append(.integer(number))
            case .some(.double(let number)) where !number.isNaN: limits.append(.double(number))
            case .some(.string(let range)): limits.append(.string(range))
            // Nothing is less or greater than null, a boolean, NaN, an array or an object.
            default: return nil
            }
        }
        if let first = limits[0], let second = limits[1], isString(first) != isString(second) { return nil }
        return .bounds(
            lower: limits[0], includesLower: includesLower, upper: limits[1], includesUpper: includesUpper)
    }

    private func isString(_ scalar: FilterScalar) -> Bool { if case .string = scalar { true } else { false } }

    private func isNaN(_ scalar: FilterScalar) -> Bool {
        if case .double(let number) = scalar { number.isNaN } else { false }
    }

    private mutating func scalar(_ value: MetadataValue) -> FilterScalar? {
        switch value {
        case .null: .null
        case .bool(let flag): .bool(flag)
        case .integer(let number): .integer(number)
        case .double(let number): .double(number)
        case .string(let text): .string(append(text))
        case .array, .object: nil
        }
    }

    /// An array or object in the encoding of metadata; nil if no stored value can be equal to it.
    private mutating func composite(_ value: MetadataValue) -> Range<Int>? {
        guard let encoded = try? Metadata([("v", value)]).encoded else { return nil }
        let start = pool.count
        // Behind the counts of the metadata, the length of the key and the key.
        pool += encoded[7...]
        return start..<pool.count
    }

    private mutating func append(_ text: String) -> Range<Int> {
        let start = pool.count
        pool += Array(text.utf8)
        return start..<pool.count
    }
}

/// The order of scalars: null, then booleans, then numbers by value, then strings by bytes. NaN has no place in it.
enum ScalarOrder {
    /// Orders two scalars, each with the pool its string lies in: negative, zero or positive.
    @inline(__always)
    static func compare(
        _ left: FilterScalar, in leftPool: UnsafeRawBufferPointer,
        _ right: FilterScalar, in rightPool: UnsafeRawBufferPointer
    ) -> Int {
        switch (left, right) {
        case (.integer(let a), .integer(let b)): return ValueOrder.compare(a, b)
        case (.integer(let a), .double(let b)): return ValueOrder.compare(a, b) ?? 0
        case (.double(let a), .integer(let b)): return -(ValueOrder.compare(b, a) ?? 0)
        case (.double(let a), .double(let b)): return ValueOrder.compare(a, b) ?? 0
        case (.bool(let a), .bool(let b)): return a == b ? 0 : b ? -1 : 1
        case (.string(let a), .string(let b)):
            return unsafe ValueOrder.compare(
                UnsafeRawBufferPointer(rebasing: leftPool[a]), UnsafeRawBufferPointer(rebasing: rightPool[b]))
        default: return kind(left) - kind(right)
        }
    }

    @inline(__always)
    private static func kind(_ scalar: FilterScalar) -> Int {
        switch scalar {
        case .null: 0
        case .bool: 1
        case .integer, .double: 2
        case .string: 3
        }
    }
}
