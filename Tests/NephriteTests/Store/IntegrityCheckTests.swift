// What the check finds in an index that contradicts itself or the file although every checksum is right: snapshots whose entries
// were changed by hand, with the tags that belong to the change.
import Foundation
import StorageFormat
import StorageIO
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct IntegrityCheckTests {
    /// A database of twenty records, and where its file is.
    private func withDatabase(
        count: Int = 20, _ body: (VectorDatabase, TestStore) async throws -> Void
    ) async throws {
        let directory = TestStore()
        try await directory.database { database async throws in
            try await database.insert((0..<count).map { testRecord("record-\($0)", $0) })
            try await body(database, directory)
        }
    }

    /// A snapshot like another one, with changed entries; each gets the tag of what lies where it points now.
    private func doctored(
        _ snapshot: DatabaseSnapshot, _ ledger: SnapshotLedger, count: Int? = nil,
        _ change: (inout [Int: RecordEntry]) -> Void
    ) -> DatabaseSnapshot {
        var entries: [Int: RecordEntry] = [:]
        snapshot.records.forEachActive { slot, entry in entries[slot] = entry }
        let before = entries
        change(&entries)
        var records = snapshot.records
        for (slot, entry) in entries where entry != before[slot] {
            var entry = entry
            entry.tag = snapshot.identity.tag(
                contentChecksum: snapshot.contentChecksum(slot: UInt32(slot), entry: entry), slot: UInt32(slot))
            _ = records.set(entry, at: slot, epoch: 1 << 40)
        }
        for (slot, _) in before where entries[slot] == nil { _ = records.set(.empty, at: slot, epoch: 1 << 40) }
        return DatabaseSnapshot(
            identity: snapshot.identity, records: records, directory: snapshot.directory, mapping: snapshot.mapping,
            count: count ?? snapshot.count, version: snapshot.version, fingerprint: snapshot.fingerprint,
            ledger: ledger, searcher: snapshot.searcher, codeStore: snapshot.codeStore, filters: snapshot.filters,
            verifiesReads: snapshot.verifiesReads)
    }

    private func damages(
        _ database: VectorDatabase, count: Int? = nil, _ change: (inout [Int: RecordEntry]) -> Void
    ) async throws -> [Damage] {
        let snapshot = try await database.snapshot()
        return IntegrityCheck(snapshot: doctored(snapshot, database.cell.ledger, count: count, change)).run().damages
    }

    @Test("A sound snapshot has no damage, and a copy of it neither")
    func sound() async throws {
        try await withDatabase { database, _ async throws in
            #expect(try await damages(database) { _ in } == [])
        }
    }

    @Test("Two records at one place: shared space, an id that leads elsewhere, and another state than was left")
    func overlap() async throws {
        try await withDatabase { database, _ async throws in
            let found = try await damages(database) { entries in
                entries[5]!.payloadUnit = entries[4]!.payloadUnit
                entries[5]!.payloadLengthAndFlags = entries[4]!.payloadLengthAndFlags
                entries[5]!.idHash = entries[4]!.idHash
                entries[5]!.idLength = entries[4]!.idLength
            }
            #expect(found.map(\.kind) == ["overlap", "directory", "fingerprint"])
            #expect(found[0].ids == ["record-4"] && found[1].ids == ["record-4"])
            #expect(found.allSatisfy { $0.path == "a/vectors.jvdb" && !$0.message.isEmpty })
        }
    }

    @Test("An entry with the hash of another id")
    func hash() async throws {
        try await withDatabase { database, _ async throws in
            let found = try await damages(database) { $0[7]!.idHash ^= 1 << 40 }
            #expect(found.map(\.kind) == ["hash", "fingerprint"] && found[0].ids == ["record-7"])
        }
    }

    @Test("A record that is gone from the table: the count, the state and the directory say so")
    func missing() async throws {
        try await withDatabase { database, _ async throws in
            let gone = try await damages(database) { $0[3] = nil }
            #expect(gone.map(\.kind) == ["count", "fingerprint"])
            #expect(gone[0].message.contains("19") && gone[0].message.contains("20"))
            let miscounted = try await damages(database, count: 19) { $0[3] = nil }
            #expect(miscounted.map(\.kind) == ["fingerprint", "directory"])
        }
    }

    @Test("Metadata that cannot be read although their checksum is right")
    func metadata() async throws {
        try await withDatabase { database, _ async throws in
            let found = try await damages(database) { $0[9]!.payloadLength -= 3 }
            #expect(found.map(\.kind) == ["metadata", "fingerprint"] && found[0].ids == ["record-9"])
        }
    }

    @Test("A vector that is not finite although its checksum is right")
    func vector() async throws {
        try await withDatabase { database, directory async throws in
            let file = try #require(directory.memory).open(StoragePath("a", "vectors.jvdb"), .readWrite)
            let bytes = try file.readBytes(count: Int(file.size()), at: 0)
            let wanted = unsafe testVector(11, 3).withUnsafeBytes { unsafe Array($0) }
            let place = try #require(Foundation.Data(bytes).range(of: Foundation.Data(wanted)))
            // The mapping shows what is written; the exponent of an infinity.
            try file.writeBytes([0, 0, 0x80, 0x7F], at: UInt64(place.lowerBound))
            // Whatever changes the entry has its tag made anew.
            let found = try await damages(database) { $0[11]!.reserved = 1 }
            #expect(found.map(\.kind) == ["vector", "fingerprint"] && found[0].ids == ["record-11"])
            // Without that it is the checksum that is wrong.
            #expect(try await damages(database) { _ in }.map(\.kind) == ["checksum"])
            try file.writeBytes(wanted, at: UInt64(place.lowerBound))
        }
    }

    @Test("Not more than a thousand findings are reported")
    func limit() async throws {
        try await withDatabase(count: 1_200) { database, _ async throws in
            let found = try await damages(database) { entries in
                for slot in entries.keys { entries[slot]!.idHash ^= 1 }
            }
            #expect(found.count == 1_000 && found.allSatisfy { $0.kind == "hash" })
        }
    }
}
