/// The file `CATALOG` on disk: read at open, replaced as a whole at each change (O1). The registry and recovery use it.
import StorageFormat
import StorageIO

struct CatalogueFile {
    /// More than any catalogue has: what claims to be larger is damaged, and not read.
    private static let byteCountLimit: UInt64 = 1 << 30
    static let path = StoragePath("CATALOG")
    private static let temporaryPath = StoragePath("CATALOG.tmp")

    let fileSystem: any FileSystem

    /// The catalogue and which of its copies are damaged, or nil if the directory has none.
    func read() throws(StoreError) -> (Catalogue, damagedCopies: [Int])? {
        let bytes: [UInt8]?
        do throws(FileSystemError) {
            let file = try fileSystem.open(Self.path, .read)
            defer { try? file.close() }
            let size = try file.size()
            bytes = size > Self.byteCountLimit ? nil : try file.readBytes(count: Int(size), at: 0)
        } catch {
            if error.isNotFound { return nil }
            throw StoreError(error)
        }
        guard let bytes else {
            throw .corruption("The catalogue is damaged: it has more bytes than any.", path: Self.path.description)
        }
        do throws(FormatError) {
            return try unsafe bytes.withUnsafeBytesTyped { (bytes) throws(FormatError) in
                try unsafe Catalogue.decodeFile(bytes)
            }
        } catch {
            throw StoreError(error, path: "CATALOG")
        }
    }

    /// Replaces the catalogue: written beside, synced, renamed, the directory synced. The file that it replaces stays open
    /// so long, for the reason that ``HeldFiles`` gives, and what an earlier attempt left, too. Where there are no descriptors
    /// for that, nothing is changed: the new file would want one as well.
    func write(_ catalogue: Catalogue) throws(FileSystemError) {
        let bytes = catalogue.encodeFile()
        let held = try HeldFiles([Self.path, Self.temporaryPath], atLeast: 2, on: fileSystem)
        defer { held.release() }
        do {
            try fileSystem.unlink(Self.temporaryPath)
        } catch  where error.isNotFound {}
        let file = try fileSystem.open(Self.temporaryPath, .createNew)
        do {
            let result: Result<Void, FileSystemError> = unsafe bytes.withUnsafeBytes { buffer in
                do throws(FileSystemError) {
                    return .success(try unsafe file.writeFully([buffer], at: 0))
                } catch {
                    return .failure(error)
                }
            }
            try result.get()
            try file.synchronize()
            try file.close()
            try fileSystem.rename(Self.temporaryPath, to: Self.path)
        } catch {
            try? file.close()
            try? fileSystem.unlink(Self.temporaryPath)
            throw error
        }
        try fileSystem.synchronizeDirectory(.root)
    }
}
