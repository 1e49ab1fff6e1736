// Where old files could not be held open for want of descriptors, they were replaced and removed all the same.
import Foundation
import StorageIO
import StorageSimulation
import Testing

@testable import Nephrite

@Suite(.timeLimit(.minutes(5)))
struct HeldFilesTests {
    @Test("Without a descriptor to hold it by, the catalogue is not replaced, and the caller is told why")
    func catalogue() async throws {
        let directory = TestStore()
        let hooked = HookedFileSystem(directory.memory!)
        directory.configuration.environment.fileSystem = { _ in hooked }
        let options = DatabaseOptions(dimension: 3)
        try await directory.open { store async throws in
            let database = try await store.createDatabase("a", options: options)
            let changes = Box<[SystemCall]>([])
            hooked.set { (call, path) throws(FileSystemError) in
                guard path.description.hasPrefix("CATALOG") else { return }
                if call == .open, path == CatalogueFile.path {
                    throw FileSystemError(code: EMFILE, call: call, path: path.description)
                }
                changes.update { $0.append(call) }
            }
            await expectError(.tooManyOpenFiles) { try await database.setQuantization(.none) }
            #expect(database.options.quantization == .automatic && changes.value.isEmpty)
            hooked.set(nil)
            try await database.upsert(testRecord("x", 1))
            try await database.setQuantization(.none)
        }
        try await directory.open { store async throws in
            #expect(try await store.database("a").options.quantization == .none)
            try await store.expectSound()
        }
    }

    /// A log of seven segments on a file system that gives a descriptor only where `allows` says so of the how-manieth open.
    private func segments(
        _ allows: @escaping @Sendable (Int) -> Bool
    ) throws -> (HookedFileSystem, opened: Box<[StoragePath]>, unlinked: Box<[StoragePath]>) {
        let disk = SimulatedFileSystem()
        try disk.openRoot(createIfMissing: true)
        try disk.createDirectory(SegmentWriter.directory)
        for sequence in 1...7 { try disk.open(SegmentWriter.path(UInt64(sequence)), .createNew).close() }
        let hooked = HookedFileSystem(disk)
        let (opened, unlinked, count) = (Box<[StoragePath]>([]), Box<[StoragePath]>([]), Box(0))
        hooked.set { (call, path) throws(FileSystemError) in
            if call == .unlink { unlinked.update { $0.append(path) } }
            guard call == .open else { return }
            let number = count.update { count -> Int in
                count += 1
                return count
            }
            if !allows(number) { throw FileSystemError(code: EMFILE, call: call, path: path.description) }
            opened.update { $0.append(path) }
        }
        return (hooked, opened, unlinked)
    }

    @Test("Segments are removed as many at a time as there are descriptors to hold them by, each of them held")
    func fewDescriptors() throws {
        let (hooked, opened, unlinked) = try segments { $0 % 3 != 0 }
        try SegmentWriter.remove(Array(1...8), on: hooked)
        #expect(unlinked.value == (1...8).map { SegmentWriter.path($0) })
        #expect(opened.value.count == 8 && Set(opened.value) == Set(unlinked.value))
        #expect(try hooked.list(SegmentWriter.directory).isEmpty)
    }

    @Test("Without a single descriptor no segment is removed, and the caller is told why")
    func noDescriptor() throws {
        let (hooked, _, unlinked) = try segments { _ in false }
        let error = #expect(throws: FileSystemError.self) { try SegmentWriter.remove([1, 2], on: hooked) }
        #expect(error?.isTooManyOpenFiles == true && unlinked.value.isEmpty)
        #expect(try hooked.list(SegmentWriter.directory).count == 7)
    }
}
