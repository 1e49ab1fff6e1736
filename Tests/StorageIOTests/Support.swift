/// What the suites share: temporary roots, both file systems by name, byte helpers and a file that follows a script.
import Foundation
import Synchronization
import Testing

@testable import StorageIO

extension Tag {
    @Tag static var concurrency: Self
    @Tag static var fault: Self
}

/// The implementations that must behave alike.
enum FileSystemKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case posix, memory, overlay

    var testDescription: String { rawValue }
}

/// Runs a test on an opened, empty root that goes away afterwards.
func withFileSystem(_ kind: FileSystemKind, _ body: (any FileSystem) throws -> Void) throws {
    switch kind {
    case .posix:
        try withTemporaryDirectory { path in
            let fileSystem = POSIXFileSystem(root: path + "/store")
            try fileSystem.openRoot(createIfMissing: true)
            try body(fileSystem)
        }
    case .overlay:
        let base = MemoryFileSystem(name: "base")
        try base.openRoot(createIfMissing: true)
        let fileSystem = OverlayFileSystem(over: base)
        try fileSystem.openRoot(createIfMissing: false)
        try body(fileSystem)
        #expect(try base.list(.root).isEmpty)
    case .memory:
        let fileSystem = MemoryFileSystem(name: "test")
        try fileSystem.openRoot(createIfMissing: true)
        try body(fileSystem)
    }
}

/// Runs a test with an empty directory that is removed afterwards.
func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("nephrite-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    try body(url.path)
}

/// Expects a call to fail with one `errno`.
func expectFailure<Result>(
    _ code: Int32, _ call: SystemCall, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws(FileSystemError) -> Result
) {
    do throws(FileSystemError) {
        _ = try body()
        Issue.record("\(call) succeeded", sourceLocation: sourceLocation)
    } catch {
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        #expect(error.call == call, sourceLocation: sourceLocation)
    }
}

extension StorageFile {
    func bytes(_ count: Int, at offset: UInt64) throws(FileSystemError) -> [UInt8] {
        let buffer = AlignedBuffer(byteCount: count)
        let read = try unsafe readFully(into: buffer.bytes, at: offset)
        return unsafe Array(buffer.bytes.prefix(read))
    }

    func put(_ parts: [UInt8]..., at offset: UInt64) throws(FileSystemError) {
        try put(parts, at: offset)
    }

    func put(_ parts: [[UInt8]], at offset: UInt64) throws(FileSystemError) {
        let buffers = unsafe parts.map { part in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
            unsafe copy.copyBytes(from: part)
            return UnsafeRawBufferPointer(copy)
        }
        defer { for index in unsafe buffers.indices { unsafe buffers[index].deallocate() } }
        try unsafe writeFully(buffers, at: offset)
    }
}

extension AddressSpace {
    func bytes(_ count: Int, at position: Int) -> [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: baseAddress + position, count: count))
    }
}

/// Bytes that tell their place.
func pattern(_ count: Int, seed: Int = 1) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 + seed) &* 167 &+ $0 >> 8) }
}

/// A file whose every transfer follows a script: how many bytes at most, or an `errno`.
final class ScriptedFile: StorageFile {
    enum Step: Sendable {
        case transfer(Int)
        case fail(Int32)
    }

    let path = StoragePath("scripted")
    private let state: Mutex<(contents: [UInt8], steps: [Step], bufferCounts: [Int])>

    init(contents: [UInt8] = [], steps: [Step]) {
        state = Mutex((contents, steps.reversed(), []))
    }

    var contents: [UInt8] { state.withLock { $0.contents } }
    var remainingStepCount: Int { state.withLock { $0.steps.count } }
    var bufferCounts: [Int] { state.withLock { $0.bufferCounts } }

    private func step(_ call: SystemCall, _ offset: UInt64) throws(FileSystemError) -> Int {
        switch state.withLock({ $0.steps.popLast() }) {
        case .transfer(let count): return count
        case .fail(let code): throw FileSystemError(code: code, call: call, path: "scripted", offset: offset)
        case nil: return .max
        }
    }

    func size() -> UInt64 { UInt64(contents.count) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        let limit = try step(.read, offset)
        let part = contents.dropFirst(Int(offset)).prefix(min(limit, buffer.count))
        unsafe buffer.copyBytes(from: part)
        return part.count
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        let limit = try step(.write, offset)
        let count = unsafe buffers.count
        let bytes = Array(unsafe buffers.flatMap { unsafe Array($0) }.prefix(limit))
        state.withLock { state in
            state.bufferCounts.append(count)
            let missing = Int(offset) + bytes.count - state.contents.count
            if missing > 0 { state.contents.append(contentsOf: [UInt8](repeating: 0, count: missing)) }
            state.contents.replaceSubrange(Int(offset)..<Int(offset) + bytes.count, with: bytes)
        }
        return bytes.count
    }

    func synchronizeData() {}
    func synchronize() {}
    func allocate(offset: UInt64, length: UInt64) {}
    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) {}
    func close() {}
}
