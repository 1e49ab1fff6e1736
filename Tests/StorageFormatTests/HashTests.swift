/// Hashes and checksums against published vectors and against formulations that share nothing with the module.
import StorageFormat
import Testing

@Suite struct HashTests {
    @Test func `CRC-32C matches RFC 3720`() {
        #expect(checksum("123456789".utf8) == 0xe306_9283)
        #expect(checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(checksum((0..<32).map { UInt8($0) }) == 0x46dd_794e)
        #expect(checksum([]) == 0)
        #expect(checksum("6789".utf8, continuing: checksum("12345".utf8)) == 0xe306_9283)
    }

    @Test func `a checksum seed depends on file, incarnation, kind and place`() {
        let salt = ChecksumSalt(uuid: Fixtures.uuid, incarnation: 9)
        var bytes: [UInt8] = [
            0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ]
        bytes += [9, 0, 0, 0, 0, 0, 0, 0, 1]
        #expect(salt.seed(.record, position: 5) == checksum(bytes + [5, 0, 0, 0, 0, 0, 0, 0]))
        var seeds = Set<UInt32>()
        for other in [salt, ChecksumSalt(uuid: Fixtures.uuid, incarnation: 10)] {
            for kind in [ChecksumSalt.Kind.record, .recordPage, .directoryPage, .pageTable] {
                for position in UInt64(0)..<8 { seeds.insert(other.seed(kind, position: position)) }
            }
        }
        #expect(seeds.count == 64)
    }

    @Test func `SipHash-1-3 matches a formulation of its own at every length`() {
        for count in 0..<80 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) }
            for key in [
                IDHashKey(k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908), IDHashKey(k0: 0, k1: .max),
            ] {
                #expect(idHash(bytes, key: key) == ReferenceSip.hash(bytes, key: key, compressions: 1, finals: 3))
            }
        }
        let long = [UInt8](repeating: 0x5a, count: 513)
        let key = IDHashKey(k0: 1, k1: 2)
        #expect(idHash(long, key: key) == ReferenceSip.hash(long, key: key, compressions: 1, finals: 3))
    }

    /// The formulation is checked where the paper prints a value: SipHash-2-4 of 0…14 (appendix A).
    @Test func `the formulation in the test is SipHash`() {
        let key = IDHashKey(k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908)
        let message = (0..<15).map { UInt8($0) }
        #expect(ReferenceSip.hash(message, key: key, compressions: 2, finals: 4) == 0xa129_ca61_49be_45e5)
    }

    @Test func `the batch hash chains XXH64`() {
        #expect(batchHash([], continuing: 0) == 0xef46_db37_51d8_e999)
        #expect(batchHash(Array("abc".utf8), continuing: 0) == 0x44bc_2cf5_ad77_0999)
        let chained = batchHash([2], continuing: batchHash([1], continuing: 0))
        #expect(chained != batchHash([1], continuing: batchHash([2], continuing: 0)))
        #expect(chained != batchHash([1, 2], continuing: 0))
    }

    @Test func `the home bucket is the top bits of the hash`() {
        let fragment = DirectoryBucket.fragment(of: 0xfedc_ba98_7654_3210)
        #expect(fragment == 0xfedc_ba98)
        #expect(DirectoryBucket.home(fragment: fragment, bits: 32) == 0xfedc_ba98)
        #expect(DirectoryBucket.home(fragment: fragment, bits: 9) == 0xfedc_ba98 >> 23)
        #expect(DirectoryBucket.empty.isEmpty)
    }

    @Test func `record entry fields do not touch one another`() {
        var entry = RecordEntry.empty
        entry.payloadLength = 0xff_ffff
        #expect(entry.flags == [] && !entry.isActive && !entry.isDeleted)
        entry.flags = [.active, .deleted]
        #expect(entry.payloadLength == 0xff_ffff && entry.isActive && entry.isDeleted)
        entry.payloadLength = 1
        #expect(entry.flags == [.active, .deleted])
        entry.flags = .deleted
        #expect(entry.payloadLength == 1 && !entry.isActive && entry.isDeleted)
    }

    @Test func `a UUID is written in canonical form`() {
        #expect(Fixtures.uuid.description == "00112233-4455-6677-8899-aabbccddeeff")
        #expect(StorageUUID(high: 0, low: 1).description == "00000000-0000-0000-0000-000000000001")
    }
}

@Suite struct StateFingerprintTests {
    private static let records: [(UInt64, UInt64, UInt32)] = {
        var random = SeededGenerator(seed: 1)
        return (0..<500).map { _ in (random.next(), random.next() % 1000, UInt32(truncatingIfNeeded: random.next())) }
    }()

    @Test(arguments: 0..<8)
    func `the order of inserts and removes does not matter`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var kept = StateFingerprint.empty
        for (hash, lsn, crc) in Self.records[..<250] { kept.insert(idHash: hash, lsn: lsn, contentChecksum: crc) }
        let removed = Self.records[250...]
        var steps = Self.records.map { ($0, true) } + removed.map { ($0, false) }
        steps.shuffle(using: &random)
        var fingerprint = StateFingerprint.empty
        for ((hash, lsn, crc), isInsert) in steps {
            if isInsert {
                fingerprint.insert(idHash: hash, lsn: lsn, contentChecksum: crc)
            } else {
                fingerprint.remove(idHash: hash, lsn: lsn, contentChecksum: crc)
            }
        }
        #expect(fingerprint == kept)
        #expect(fingerprint != .empty)
    }

    @Test func `sums carry from the low to the high word`() {
        let sum = StateFingerprint(low: .max, high: 1) + StateFingerprint(low: 1, high: 2)
        #expect(sum == StateFingerprint(low: 0, high: 4))
        #expect(sum - StateFingerprint(low: 1, high: 2) == StateFingerprint(low: .max, high: 1))
    }

    @Test func `every bit of every input changes about half of the fingerprint`() {
        func fingerprint(_ hash: UInt64, _ lsn: UInt64, _ crc: UInt32) -> StateFingerprint {
            StateFingerprint.hash(idHash: hash, lsn: lsn, contentChecksum: crc)
        }
        let base = fingerprint(0x1234_5678_9abc_def0, 77, 0xdead_beef)
        var changes: [StateFingerprint] = []
        for bit in UInt64(0)..<64 {
            changes.append(fingerprint(0x1234_5678_9abc_def0 ^ 1 << bit, 77, 0xdead_beef))
            // LSN and checksum overlap in one word; a real LSN stays below 2^48, so only its low bits are tried.
            if bit < 32 { changes.append(fingerprint(0x1234_5678_9abc_def0, 77 ^ 1 << bit, 0xdead_beef)) }
            if bit < 32 { changes.append(fingerprint(0x1234_5678_9abc_def0, 77, 0xdead_beef ^ 1 << UInt32(bit))) }
        }
        for change in changes {
            #expect((16...48).contains((change.low ^ base.low).nonzeroBitCount))
            #expect((16...48).contains((change.high ^ base.high).nonzeroBitCount))
        }
        #expect(Set(changes).count == changes.count)
    }

    @Test func `the hash of a record is that of 128-bit integers`() {
        let hash = StateFingerprint.hash(idHash: 1, lsn: 2, contentChecksum: 3)
        #expect(hash == ReferenceFingerprint.hash(idHash: 1, lsn: 2, contentChecksum: 3))
    }
}
