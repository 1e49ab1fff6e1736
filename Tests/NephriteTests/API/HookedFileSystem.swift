/// A file system in front of another one, which asks a test before every call: to make it fail, or to make it
/// wait; and a store in memory whose log waits at such a gate.
import Foundation
import Nephrite
import StorageIO
import Synchronization
import Testing

final class HookedFileSystem: FileSystem {
    /// Called before each call; what it throws is the call's outcome.
    typealias Hook = @Sendable (SystemCall, StoragePath) throws(FileSystemError) -> Void

    let inner: any FileSystem
    private let hook = Mutex<Held?>(nil)
    private let openFiles = Mutex(0)

    /// A closure in a lock is wrapped once more each time it is taken out; an object is not.
    private final class Held: Sendable {
        let hook: Hook

        init(_ hook: @escaping Hook) { self.hook = hook }
    }

    init(_ inner: any FileSystem) { self.inner = inner }

    /// Sets what is asked from now on; nil for nothing.
    func set(_ hook: Hook?) {
        let held = hook.map { Held($0) }
        self.hook.withLock { $0 = held }
    }

    /// Makes calls fail with an `errno` from now on, where a path begins so.
    func fail(_ calls: Set<SystemCall>, with code: Int32, under prefix: String = "") {
        set { (call, path) throws(FileSystemError) in
            if calls.contains(call), path.description.hasPrefix(prefix) {
                throw FileSystemError(code: code, call: call, path: path.description)
            }
        }
    }

    /// Files that were opened and neither closed nor let go of.
    var openFileCount: Int { openFiles.withLock { $0 } }

    fileprivate func note(opened change: Int) { openFiles.withLock { $0 += change } }

    fileprivate func ask(_ call: SystemCall, _ path: StoragePath) throws(FileSystemError) {
        if let held = hook.withLock({ $0 }) { try held.hook(call, path) }
    }

    var rootDescription: String { inner.rootDescription }

    var availableByteCount: UInt64? { inner.availableByteCount }

    func openRoot(createIfMissing: Bool) throws(FileSystemError) {
        try ask(.openRoot, .root)
        try inner.openRoot(createIfMissing: createIfMissing)
    }

    func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
        try ask(.lock, .root)
        return try inner.lockRoot(exclusive: exclusive)
    }

    func createDirectory(_ path: StoragePath) throws(FileSystemError) {
        try ask(.createDirectory, path)
        try inner.createDirectory(path)
    }

    func removeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try ask(.removeDirectory, path)
        try inner.removeDirectory(path)
    }

    func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] {
        try ask(.list, path)
        return try inner.list(path)
    }

    func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
        try ask(.open, path)
        return HookedFile(try inner.open(path, mode), self)
    }

    func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
        try ask(.rename, source)
        try inner.rename(source, to: target)
    }

    func unlink(_ path: StoragePath) throws(FileSystemError) {
        try ask(.unlink, path)
        try inner.unlink(path)
    }

    func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
        try ask(.synchronizeDirectory, path)
        try inner.synchronizeDirectory(path)
    }

    func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
        try inner.reserveAddressSpace(byteCount: byteCount)
    }
}

private final class HookedFile: StorageFile {
    let inner: any StorageFile
    let owner: HookedFileSystem
    private let isOpen = Mutex(true)

    init(_ inner: any StorageFile, _ owner: HookedFileSystem) {
        self.inner = inner
        self.owner = owner
        owner.note(opened: 1)
    }

    deinit { noteClosed() }

    private func noteClosed() {
        isOpen.withLock { isOpen in
            if isOpen { owner.note(opened: -1) }
            isOpen = false
        }
    }

    var path: StoragePath { inner.path }

    func size() throws(FileSystemError) -> UInt64 { try inner.size() }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
        try owner.ask(.read, path)
        return try unsafe inner.read(into: buffer, at: offset)
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
        try owner.ask(.write, path)
        return try unsafe inner.write(buffers, at: offset)
    }

    func synchronizeData() throws(FileSystemError) {
        try owner.ask(.synchronizeData, path)
        try inner.synchronizeData()
    }

    func synchronize() throws(FileSystemError) {
        try owner.ask(.synchronize, path)
        try inner.synchronize()
    }

    func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
        try owner.ask(.allocate, path)
        try inner.allocate(offset: offset, length: length)
    }

    func map(offset: UInt64, length: Int, into space: any AddressSpace, at position: Int) throws(FileSystemError) {
        try owner.ask(.map, path)
        try inner.map(offset: offset, length: length, into: space, at: position)
    }

    func close() throws(FileSystemError) {
        noteClosed()
        try inner.close()
    }
}

/// Keeps a store's log, or another file, from syncing until it is opened, so that commits wait in a known state: staged,
/// and seen by nobody.
final class Gate: Sendable {
    private let prefix: String
    private let condition = UncheckedCondition()
    private let state = Mutex((isShut: false, waiting: 0))

    // SAFETY: NSCondition may be used from any thread.
    private final class UncheckedCondition: @unchecked Sendable { let condition = NSCondition() }

    /// - Parameter prefix: how the paths begin whose syncs are held.
    init(under prefix: String = "wal/") { self.prefix = prefix }

    /// A hook that holds syncs while the gate is shut.
    var hook: HookedFileSystem.Hook {
        { (call, path) throws(FileSystemError) in
            if call == .synchronizeData, path.description.hasPrefix(self.prefix) { self.pass() }
        }
    }

    func shut() { state.withLock { $0.isShut = true } }

    func open() {
        condition.condition.lock()
        state.withLock { $0.isShut = false }
        condition.condition.broadcast()
        condition.condition.unlock()
    }

    /// Whether a sync waits at the gate.
    var isReached: Bool { state.withLock { $0.waiting > 0 } }

    /// Returns when a sync waits at the gate.
    func reached() async {
        while !isReached { await Task.yield() }
    }

    /// Holds the caller while the gate is shut.
    func pass() {
        condition.condition.lock()
        state.withLock { $0.waiting += 1 }
        while state.withLock({ $0.isShut }) { condition.condition.wait() }
        state.withLock { $0.waiting -= 1 }
        condition.condition.unlock()
    }
}

/// A store in memory with a gate in front of the syncs of its log.
enum GatedStore {
    /// Runs `body` with such a store, opens the gate in the end, and expects the store to be sound when it is opened again.
    static func open(
        _ change: (inout StoreConfiguration) -> Void, _ body: (VectorStore, Gate) async throws -> Void
    ) async throws {
        let directory = TestStore()
        let gate = Gate()
        let hooked = HookedFileSystem(directory.memory!)
        hooked.set(gate.hook)
        directory.configuration.environment.fileSystem = { _ in hooked }
        change(&directory.configuration)
        try await directory.open { store in
            defer { gate.open() }
            try await body(store, gate)
        }
        hooked.set(nil)
        try await directory.open { try await $0.expectSound() }
    }
}
