// Shorthands for the suites: whole-file reads and writes on a simulated disk.
import StorageIO
import StorageSimulation
import Synchronization

let a = StoragePath("a")
let b = StoragePath("b")

extension FileSystem {
    /// Creates a file, and makes its name durable unless told otherwise.
    func make(_ path: StoragePath, _ bytes: [UInt8] = [], durable: Bool = true) throws -> any StorageFile {
        let file = try open(path, .createNew)
        if !bytes.isEmpty { try file.put(bytes) }
        if durable {
            try file.synchronizeData()
            try synchronizeDirectory(path.parent)
        }
        return file
    }

    func names(_ path: StoragePath = .root) throws -> [String] { try list(path).map(\.name) }
}

extension StorageFile {
    func put(_ bytes: [UInt8], at offset: UInt64 = 0) throws {
        try unsafe bytes.withUnsafeBytes { try unsafe writeFully([$0], at: offset) }
    }

    /// One write call; how many bytes it took.
    func putOnce(_ bytes: [UInt8], at offset: UInt64 = 0) throws -> Int {
        try unsafe bytes.withUnsafeBytes { try unsafe write([$0], at: offset) }
    }

    func get(_ count: Int, at offset: UInt64 = 0) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        let read = try unsafe bytes.withUnsafeMutableBytes { try unsafe readFully(into: $0, at: offset) }
        return Array(bytes.prefix(read))
    }
}

/// A byte, repeated.
func filled(_ byte: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }

/// The code that a call fails with, or `nil`.
func code(_ body: () throws -> Void) -> Int32? {
    do {
        try body()
        return nil
    } catch let error as FileSystemError {
        return error.code
    } catch {
        return -1
    }
}

/// A value that hooks and tasks of a test share.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }

    @discardableResult
    func update<Result: Sendable>(_ body: (inout Value) -> Result) -> Result { state.withLock { body(&$0) } }
}
