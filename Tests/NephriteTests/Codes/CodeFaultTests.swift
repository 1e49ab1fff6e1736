// Calls on the code file that fail: the codes of that database are given up until it is opened again; the store is not
// fenced, no write fails, and searches go on.
import Foundation
import StorageIO
import StorageSimulation
import Synchronization
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(20)))
struct CodeFaultTests {
    private static let options = DatabaseOptions(dimension: Coding.dimension)

    struct Fault: Sendable, CustomTestStringConvertible {
        let call: SystemCall
        let code: Int32
        var testDescription: String { "\(call) \(code)" }
    }

    static let faults = [
        Fault(call: .open, code: EMFILE), Fault(call: .open, code: EIO), Fault(call: .read, code: EIO),
        Fault(call: .allocate, code: ENOSPC), Fault(call: .write, code: ENOSPC), Fault(call: .write, code: EIO),
        Fault(call: .synchronize, code: EIO), Fault(call: .synchronizeData, code: EIO),
        Fault(call: .synchronizeDirectory, code: EIO), Fault(call: .map, code: ENOMEM),
        Fault(call: .unlink, code: EIO),
    ]

    /// Makes the n-th of the calls fail that are about codes; how many there were so far.
    private static func inject(_ fault: Fault, at number: Int, into hooked: HookedFileSystem) -> Box<Int> {
        let count = Box(0)
        hooked.set { (call, path) throws(FileSystemError) in
            let isAboutCodes =
                path.description == "a/vectors.codes" || (call == .synchronizeDirectory && path.description == "a")
            guard call == fault.call, isAboutCodes else { return }
            let reached = count.update { count in
                count += 1
                return count
            }
            if reached == number { throw FileSystemError(code: fault.code, call: call, path: path.description) }
        }
        return count
    }

    /// Searches until everything is encoded or codes have been given up.
    private static func settle(_ database: VectorDatabase) async throws -> UInt64 {
        while true {
            #expect(try await database.search(testVector(1, Coding.dimension), k: 3).count == 3)
            let statistics = try await database.statistics()
            if statistics.codingFailures > 0 || statistics.codingProgress == 1 { return statistics.codingFailures }
            await Task.yield()
        }
    }

    @Test("Whichever call fails, writes and searches go on, and the next opening has codes again", arguments: faults)
    func anyCall(_ fault: Fault) async throws {
        var number = 1
        while true {
            let directory = Coding.store()
            let hooked = HookedFileSystem(directory.memory!)
            directory.configuration.environment.fileSystem = { _ in hooked }
            try await directory.open { store in
                let database = try await store.createDatabase("a", options: Self.options)
                try await Coding.write(0..<Coding.rowCount, round: 0, to: database)
            }
            let calls = Self.inject(fault, at: number, into: hooked)
            // A life in which the file is made, and one in which it is opened.
            for life in 1..<3 {
                try await directory.open { store async throws in
                    let database = try await store.database("a")
                    let failures = try await Self.settle(database)
                    try await Coding.write(life * 50..<life * 90, round: life, to: database)
                    try await store.checkpoint()
                    _ = try await Self.settle(database)
                    #expect(try await Coding.wrongSlots(database) == [])
                    if failures > 0 {
                        let statistics = try await database.statistics()
                        #expect(statistics.codingProgress == nil && statistics.codeByteCount == 0)
                        #expect(try await database.snapshot().codes == nil)
                    }
                    _ = try await database.delete([Coding.id(0)])
                }
            }
            hooked.set(nil)
            try await directory.open { store async throws in
                let database = try await store.database("a")
                try await Coding.finish(database)
                try await store.expectSound()
            }
            if calls.value < number { break }
            // The first calls of a kind are made at places of their own; later ones are like one another.
            number += number < 8 ? 1 : 7
        }
        #expect(number > 1, "\(fault) never happened")
    }

    @Test("A disk without room for codes has room for all that was promised")
    func fullDisk() async throws {
        let directory = Coding.store(.memory, capacity: 24 << 20)
        directory.configuration.logSegmentByteCount = 256 << 10
        // Codes of 128 slots are given 64 KiB here: more than there is.
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: Self.options)
            try await Coding.write(0..<50_000, round: 0, to: database)
            try await store.checkpoint()
            let failures = try await Self.settle(database)
            #expect(failures == 1)
            // What the codes had taken is given back.
            #expect(directory.memory!.usedByteCount < 20 << 20)
            #expect(try await database.count() == 50_000)
            #expect(try await database.delete((0..<100).map(Coding.id)) == 100)
            #expect(try await Coding.wrongSlots(database) == [])
        }
        try await directory.open { store async throws in
            #expect(try await store.database("a").count() == 49_900)
        }
    }
}
