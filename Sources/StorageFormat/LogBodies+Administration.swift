/// The bodies of log records that concern whole databases: resize, checkpoint, delete database and commit (a create
/// record's body is a ``CatalogueEntry``, a sync marker has none).

/// The body of a resize: extents that were added to the database's file.
package struct ResizeBody: Sendable, Hashable {
    package let extents: [Extent]

    package init(extents: [Extent]) { self.extents = extents }

    package var encodedByteCount: Int { 8 + extents.count * Extent.byteCount }

    package func encode() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: encodedByteCount)
        writer.append(UInt32(extents.count))
        writer.append(UInt32(0))
        for extent in extents { extent.encode(into: &writer) }
        return writer.bytes
    }

    package static func decode(_ body: UnsafeRawBufferPointer) throws(FormatError) -> ResizeBody {
        var reader = unsafe ByteReader(body, part: "log resize body")
        let count = Int(try reader.u32())
        try reader.zeros(4)
        guard count <= FormatLimits.extentCount, reader.remaining == count * Extent.byteCount else {
            throw reader.error(.outOfBounds, at: 0)
        }
        var extents: [Extent] = []
        extents.reserveCapacity(count)
        for _ in 0..<count {
            let extent = try Extent.decode(from: &reader)
            guard extent.startUnit > 0, extent.unitCount > 0, extent.endUnit <= UInt64(UInt32.max) + 1,
                !extent.kind.isShadowed || extent.unitCount % 2 == 0
            else { throw reader.error(.invalidValue) }
            extents.append(extent)
        }
        return ResizeBody(extents: extents)
    }
}

/// The body of a checkpoint: the generation that became durable and the LSN that it reaches to.
package struct CheckpointBody: Sendable, Hashable {
    package static let encodedByteCount = 16

    package let generation: UInt64
    package let checkpointLSN: UInt64

    package init(generation: UInt64, checkpointLSN: UInt64) {
        self.generation = generation
        self.checkpointLSN = checkpointLSN
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: Self.encodedByteCount)
        writer.append(generation)
        writer.append(checkpointLSN)
        return writer.bytes
    }

    package static func decode(_ body: UnsafeRawBufferPointer) throws(FormatError) -> CheckpointBody {
        var reader = unsafe ByteReader(body, part: "log checkpoint body")
        let decoded = CheckpointBody(generation: try reader.u64(), checkpointLSN: try reader.u64())
        try reader.finish()
        return decoded
    }
}

/// The body of a delete-database record.
package struct DeleteDatabaseBody: Sendable, Hashable {
    package static let encodedByteCount = 8

    package let number: UInt32

    package init(number: UInt32) { self.number = number }

    package func encode() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: Self.encodedByteCount)
        writer.append(number)
        writer.append(UInt32(0))
        return writer.bytes
    }

    package static func decode(_ body: UnsafeRawBufferPointer) throws(FormatError) -> DeleteDatabaseBody {
        var reader = unsafe ByteReader(body, part: "log delete-database body")
        let decoded = DeleteDatabaseBody(number: try reader.u32())
        try reader.zeros(4)
        try reader.finish()
        return decoded
    }
}

/// What a commit says of one database: the live records after it and their fingerprint.
package struct CommittedState: Sendable, Hashable {
    package static let byteCount = 32

    package let database: UInt32
    package let liveCount: UInt64
    package let fingerprint: StateFingerprint

    package init(database: UInt32, liveCount: UInt64, fingerprint: StateFingerprint) {
        self.database = database
        self.liveCount = liveCount
        self.fingerprint = fingerprint
    }
}

/// The body of a commit: how many operations it makes valid, a hash of their records, and the state they lead to.
package struct CommitBody: Sendable, Hashable {
    package let operationCount: UInt32
    /// ``hash(_:continuing:)`` over the sealed records of the group, in order.
    package let batchHash: UInt64
    package let databases: [CommittedState]

    package init(operationCount: UInt32, batchHash: UInt64, databases: [CommittedState]) {
        self.operationCount = operationCount
        self.batchHash = batchHash
        self.databases = databases
    }

    package static func encodedByteCount(databaseCount: Int) -> Int { 16 + databaseCount * CommittedState.byteCount }

    package var encodedByteCount: Int { Self.encodedByteCount(databaseCount: databases.count) }

    package func encode(into body: UnsafeMutableRawBufferPointer) {
        precondition(body.count >= encodedByteCount, "no room for a commit body")
        unsafe body.store(operationCount, at: 0)
        unsafe body.store(UInt32(databases.count), at: 4)
        unsafe body.store(batchHash, at: 8)
        var offset = 16
        for state in databases {
            unsafe body.store(state.database, at: offset)
            unsafe body.store(UInt32(0), at: offset + 4)
            unsafe body.store(state.liveCount, at: offset + 8)
            unsafe body.store(state.fingerprint.low, at: offset + 16)
            unsafe body.store(state.fingerprint.high, at: offset + 24)
            offset += CommittedState.byteCount
        }
    }

    package static func decode(_ body: UnsafeRawBufferPointer) throws(FormatError) -> CommitBody {
        var reader = unsafe ByteReader(body, part: "log commit body")
        let operationCount = try reader.u32()
        let databaseCount = Int(try reader.u32())
        let batchHash = try reader.u64()
        guard reader.remaining == databaseCount * CommittedState.byteCount else {
            throw reader.error(.outOfBounds, at: 4)
        }
        var databases: [CommittedState] = []
        databases.reserveCapacity(databaseCount)
        for _ in 0..<databaseCount {
            let database = try reader.u32()
            try reader.zeros(4)
            let liveCount = try reader.u64()
            let fingerprint = StateFingerprint(low: try reader.u64(), high: try reader.u64())
            databases.append(CommittedState(database: database, liveCount: liveCount, fingerprint: fingerprint))
        }
        return CommitBody(operationCount: operationCount, batchHash: batchHash, databases: databases)
    }
}
