/// Point reads of a snapshot: what callers ask by id, answered from mapped memory.
import StorageFormat

extension DatabaseSnapshot {
    /// The vector of a record, copied; nil if there is none.
    ///
    /// - Complexity: O(1) in the number of records.
    /// - Throws: `corruption` if the record's checksum does not match.
    public func vector(for id: String) throws(StoreError) -> [Float]? {
        try withFound(id) { (slot, entry) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            return vector(slot: slot)
        }
    }

    /// Copies the vector of a record to the front of `buffer`, which has at least the database's dimension.
    ///
    /// - Returns: whether the record is there.
    /// - Throws: `corruption`; `invalidArgument` if the buffer is too short.
    public func copyVector(for id: String, into buffer: inout [Float]) throws(StoreError) -> Bool {
        let dimension = identity.options.dimension
        guard buffer.count >= dimension else {
            throw .argument(
                "The buffer holds \(buffer.count) floats.", remedy: "Pass one of \(dimension) at least.",
                database: identity.name)
        }
        let found: Bool? = try withFound(id) { (slot, entry) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe bytes.baseAddress!.copyMemory(from: vectorAddress(slot), byteCount: dimension * 4)
            }
            return true
        }
        return found ?? false
    }

    /// Calls `body` with the vector of a record where it lies, without a copy; nil if there is none.
    public func withVector<R>(for id: String, _ body: (Span<Float>) throws -> R) throws -> R? {
        let found: (UInt32, RecordEntry)? = try withFound(id) { (slot, entry) throws(StoreError) in
            try verify(slot: slot, entry: entry)
            return (slot, entry)
        }
        guard let found else { return nil }
        let start = unsafe vectorAddress(found.0).assumingMemoryBound(to: Float.self)
        let vector = unsafe UnsafeBufferPointer(start: start, count: identity.options.dimension)
        return try withExtendedLifetime(self) { try body(unsafe Span(_unsafeElements: vector)) }
    }

    /// The record of an id; nil if there is none.
    ///
    /// - Throws: `corruption` if the record's checksum does not match.
    public func record(for id: String) throws(StoreError) -> VectorRecord? {
        try withFound(id) { (slot, entry) throws(StoreError) in try record(slot: slot, entry: entry, id: id) }
    }

    /// The vectors of several records in the order of `ids`, nil where there is none.
    public func vectors(for ids: [String]) throws(StoreError) -> [[Float]?] {
        var vectors: [[Float]?] = []
        vectors.reserveCapacity(ids.count)
        for id in ids { vectors.append(try vector(for: id)) }
        return vectors
    }

    /// The records of several ids in the order of `ids`, nil where there is none.
    public func records(for ids: [String]) throws(StoreError) -> [VectorRecord?] {
        var records: [VectorRecord?] = []
        records.reserveCapacity(ids.count)
        for id in ids { records.append(try record(for: id)) }
        return records
    }

    /// Whether a record of that id is there.
    public func contains(_ id: String) -> Bool {
        do {
            return try withFound(id) { _, _ in true } ?? false
        } catch {
            // What is damaged is there.
            return true
        }
    }

    func record(slot: UInt32, entry: RecordEntry, id: String? = nil) throws(StoreError) -> VectorRecord {
        try verify(slot: slot, entry: entry)
        return VectorRecord(
            id: id ?? self.id(of: entry), vector: vector(slot: slot), metadata: metadata(of: entry),
            version: entry.lsn)
    }
}
