/// The loops that go on after short transfers and interruptions, driven by a file that follows a script.
import Foundation
import Testing

@testable import StorageIO

@Suite struct StorageFileTests {
    private static let scripts: [[ScriptedFile.Step]] = [
        [], [.transfer(1), .fail(EINTR), .transfer(2)], [.fail(EINTR), .fail(EINTR), .transfer(7), .transfer(1)],
        [.transfer(3), .transfer(3), .transfer(4), .fail(EINTR)],
    ]

    @Test("Reading goes on after short counts and interruptions", arguments: 0..<4)
    func readsFully(script: Int) throws {
        let file = ScriptedFile(contents: pattern(10), steps: Self.scripts[script])
        #expect(try file.bytes(10, at: 0) == pattern(10))
        #expect(try file.bytes(20, at: 4) == Array(pattern(10).dropFirst(4)))
    }

    @Test("Writing goes on after short counts and interruptions, across buffers", arguments: 0..<4)
    func writesFully(script: Int) throws {
        let file = ScriptedFile(steps: Self.scripts[script])
        let data = pattern(10)
        try file.put(Array(data[..<3]), [], Array(data[3..<4]), Array(data[4...]), at: 2)
        #expect(file.contents == [0, 0] + data)
        #expect(file.remainingStepCount <= 1)
    }

    @Test("No call gets more than 1,024 buffers")
    func limitsBuffers() throws {
        let file = ScriptedFile(steps: [.transfer(1_500)])
        try file.put((0..<2_100).map { pattern(2, seed: $0) }, at: 0)
        #expect(file.contents == (0..<2_100).flatMap { pattern(2, seed: $0) })
        #expect(file.bufferCounts == [1_024, 1_024, 326])
    }

    @Test("Other errors end the transfer", arguments: [EIO, ENOSPC])
    func reportsErrors(code: Int32) {
        expectFailure(code, .read) { () throws(FileSystemError) in
            try ScriptedFile(contents: pattern(10), steps: [.transfer(2), .fail(code)]).bytes(10, at: 0)
        }
        let file = ScriptedFile(steps: [.transfer(2), .fail(code)])
        expectFailure(code, .write) { () throws(FileSystemError) in try file.put(pattern(10), at: 0) }
        #expect(file.contents == pattern(2))
    }

    @Test("A write that never makes progress is an I/O error")
    func givesUpWithoutProgress() {
        let file = ScriptedFile(steps: [ScriptedFile.Step](repeating: .transfer(0), count: 100))
        expectFailure(EIO, .write) { () throws(FileSystemError) in try file.put([1], at: 0) }
        #expect(file.remainingStepCount == 84)
    }
}
