// Staged operations by id, against a list of them in the order of staging.
import StorageFormat
import StorageSimulation
import Testing

@testable import Nephrite

@Suite struct PendingWritesTests {
    private static func hash(_ id: Int, colliding: Bool) -> UInt64 {
        // Hashes that collide share all 64 bits; the buckets are taken from the low ones.
        colliding ? UInt64(id % 3) : UInt64(id) &* 0x9E37_79B9_7F4A_7C15 >> 7
    }

    private static func batch(_ ids: [Int], colliding: Bool) -> OperationBatch {
        let log = LogBuffer(capacity: 64)
        var operations: [BatchOperation] = []
        for id in ids {
            let text = Array("id-\(id)".utf8)
            let offset = log.extend(by: text.count)
            unsafe log.mutableBytes(offset..<offset + text.count).copyBytes(from: text)
            operations.append(
                BatchOperation(
                    kind: id % 4 == 0 ? .delete : .store, idHash: hash(id, colliding: colliding), idLength: text.count,
                    payloadLength: text.count, contentChecksum: UInt32(id), recordOffset: 0, referenceOffset: 0,
                    idOffset: offset, condition: .none))
        }
        return OperationBatch(log: log, operations: operations)
    }

    private static func find(_ id: Int, _ pending: PendingWrites, colliding: Bool) -> (serial: UInt32, index: Int)? {
        let text = Array("id-\(id)".utf8)
        return unsafe text.withUnsafeBytes {
            unsafe pending.find(UnsafeRawBufferPointer($0), hash: hash(id, colliding: colliding))
        }
    }

    @Test(
        "Batches that supersede one another and go in any order agree with a list", arguments: 0..<6 as Range<UInt64>,
        [false, true])
    func model(_ seed: UInt64, _ colliding: Bool) {
        var random = SeededGenerator(seed: seed)
        var pending = PendingWrites()
        var staged: [(serial: UInt32, ids: [Int], batch: OperationBatch, lsn: UInt64)] = []
        // Serial numbers wrap around in the middle of the test.
        var serial = UInt32.max - 150
        for step in 0..<600 {
            if staged.count < 2 || random.chance(0.52) {
                var ids = Array(0..<60)
                ids.shuffle(using: &random)
                ids.removeLast(60 - 1 - random.next(below: 12))
                let batch = Self.batch(ids, colliding: colliding)
                pending.begin(batch, serial: serial)
                for (index, operation) in batch.operations.enumerated() {
                    pending.add(operation, index: index, serial: serial)
                }
                let lsn = random.chance(0.2) ? 0 : UInt64(step + 1)
                if lsn > 0 { pending.setLSN(lsn, serial: serial) }
                staged.append((serial, ids, batch, lsn))
                serial &+= 1
            } else {
                // Applied ones go oldest first, those taken back newest first, and a rolled back group from anywhere.
                let index = [0, staged.count - 1, random.next(below: staged.count)][random.next(below: 3)]
                let gone = staged.remove(at: index)
                pending.remove(gone.batch, serial: gone.serial)
            }
            #expect(pending.commitCount == staged.count)
            for id in stride(from: step % 7, to: 62, by: 7) {
                let expected = staged.last { $0.ids.contains(id) }
                let found = Self.find(id, pending, colliding: colliding)
                #expect(found?.serial == expected?.serial && found?.index == expected?.ids.firstIndex(of: id))
                guard let found, let expected else { continue }
                #expect(pending.operation(found).contentChecksum == UInt32(id))
                #expect(pending.lsn(serial: found.serial) == expected.lsn)
            }
        }
    }

    @Test("A batch that is refused half way takes back what it had added, and no more", arguments: [false, true])
    func halfWay(_ colliding: Bool) {
        var pending = PendingWrites()
        let first = Self.batch([1, 2, 3], colliding: colliding)
        pending.begin(first, serial: 1)
        for (index, operation) in first.operations.enumerated() { pending.add(operation, index: index, serial: 1) }
        let second = Self.batch([2, 3, 4, 5], colliding: colliding)
        pending.begin(second, serial: 2)
        for index in 0..<2 { pending.add(second.operations[index], index: index, serial: 2) }
        #expect(Self.find(3, pending, colliding: colliding)?.serial == 2)
        pending.remove(second, serial: 2, operationCount: 2)
        for id in 1...3 { #expect(Self.find(id, pending, colliding: colliding)?.serial == 1) }
        for id in 4...5 { #expect(Self.find(id, pending, colliding: colliding) == nil) }
        #expect(pending.commitCount == 1)
    }

    @Test("Thousands of operations of one commit are found and forgotten", arguments: [64, 2_000, 40_000])
    func large(_ count: Int) {
        var pending = PendingWrites()
        let batch = Self.batch(Array(0..<count), colliding: false)
        pending.begin(batch, serial: 7)
        for (index, operation) in batch.operations.enumerated() { pending.add(operation, index: index, serial: 7) }
        #expect((0..<count).allSatisfy { Self.find($0, pending, colliding: false)?.index == $0 })
        pending.remove(batch, serial: 7)
        #expect((0..<count).allSatisfy { Self.find($0, pending, colliding: false) == nil })
        #expect(pending.bucketCount <= PendingWrites.keptBucketCount, "memory for a large batch is not kept")
    }
}
