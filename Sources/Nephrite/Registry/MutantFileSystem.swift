/// A file system that leaves out or disbelieves calls, for the seeded bugs of ``Mutant``; `run()` puts it between the
/// engine and its files in a test-only build.
#if NEPHRITE_MUTANTS
    import StorageFormat
    import StorageIO
    import Synchronization

    final class MutantFileSystem: FileSystem {
        private let base: any FileSystem
        /// What was renamed last: the sync of the root that follows is for it.
        private let renamed = Mutex("")

        init(_ base: any FileSystem) { self.base = base }

        var rootDescription: String { base.rootDescription }

        func openRoot(createIfMissing: Bool) throws(FileSystemError) {
            try base.openRoot(createIfMissing: createIfMissing)
        }

        func lockRoot(exclusive: Bool) throws(FileSystemError) -> any StorageLock {
            try base.lockRoot(exclusive: exclusive)
        }

        func createDirectory(_ path: StoragePath) throws(FileSystemError) { try base.createDirectory(path) }

        func removeDirectory(_ path: StoragePath) throws(FileSystemError) { try base.removeDirectory(path) }

        func list(_ path: StoragePath) throws(FileSystemError) -> [DirectoryEntry] { try base.list(path) }

        func open(_ path: StoragePath, _ mode: OpenMode) throws(FileSystemError) -> any StorageFile {
            MutantFile(try base.open(path, mode))
        }

        func rename(_ source: StoragePath, to target: StoragePath) throws(FileSystemError) {
            renamed.withLock { $0 = source.components[0] }
            try base.rename(source, to: target)
        }

        func unlink(_ path: StoragePath) throws(FileSystemError) { try base.unlink(path) }

        func synchronizeDirectory(_ path: StoragePath) throws(FileSystemError) {
            let last = renamed.withLock { $0 }
            if path == StoragePath("wal"), Mutant.isActive(.skipSegmentNameSync) { return }
            if path == .root, last == "CATALOG.tmp", Mutant.isActive(.skipCatalogueNameSync) { return }
            if path == .root, last.hasPrefix(".creating"), Mutant.isActive(.skipDatabaseNameSync) { return }
            try base.synchronizeDirectory(path)
        }

        func reserveAddressSpace(byteCount: Int) throws(FileSystemError) -> any AddressSpace {
            try base.reserveAddressSpace(byteCount: byteCount)
        }
    }

    private final class MutantFile: StorageFile {
        private let base: any StorageFile

        init(_ base: any StorageFile) { self.base = base }

        var path: StoragePath { base.path }
        private var name: String { path.components.last ?? "" }

        func size() throws(FileSystemError) -> UInt64 { try base.size() }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileSystemError) -> Int {
            try unsafe base.read(into: buffer, at: offset)
        }

        func write(_ buffers: [UnsafeRawBufferPointer], at offset: UInt64) throws(FileSystemError) -> Int {
            let length = unsafe buffers.reduce(0) { $0 + $1.count }
            if Mutant.isActive(.rollBackWithoutZeros), name.contains(".wal"), offset >= 8_192,
                unsafe buffers.allSatisfy({ unsafe $0.allSatisfy { $0 == 0 } })
            {
                return length
            }
            do {
                let count = try unsafe base.write(buffers, at: offset)
                return Mutant.isActive(.trustShortWrite) ? length : count
            } catch {
                if Mutant.isActive(.swallowWriteError), !error.isInterruption { return length }
                throw error
            }
        }

        func synchronizeData() throws(FileSystemError) {
            if name.contains(".wal") {
                if Mutant.isActive(.acknowledgeBeforeSync) { return }
                if Mutant.isActive(.retryFailedSync) {
                    do {
                        try base.synchronizeData()
                    } catch {
                        try base.synchronizeData()
                    }
                    return
                }
            }
            if name == "vectors.jvdb", Mutant.isActive(.skipDataSync) { return }
            try base.synchronizeData()
        }

        func synchronize() throws(FileSystemError) {
            if name.hasSuffix(".wal.tmp"), Mutant.isActive(.skipTailSync) { return }
            if name == "CATALOG.tmp", Mutant.isActive(.skipCatalogueSync) { return }
            if name == "vectors.jvdb", Mutant.isActive(.skipNewFileSync) { return }
            try base.synchronize()
        }

        func allocate(offset: UInt64, length: UInt64) throws(FileSystemError) {
            try base.allocate(offset: offset, length: length)
        }

        func map(
            offset: UInt64, length: Int, into space: any AddressSpace, at position: Int
        ) throws(FileSystemError) {
            try base.map(offset: offset, length: length, into: space, at: position)
        }

        func close() throws(FileSystemError) { try base.close() }
    }
#endif
