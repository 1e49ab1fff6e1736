/// Files that are held open while they are replaced or removed: the catalogue and the log take them before they change
/// anything, and let go of them when the change is on disk.
import StorageIO

/// ext4 that does not order its data (`data=writeback`) gives the blocks of an unlinked file away at once, and a file that a
/// power cut brings back would hold what was written there since; the blocks of an open file are its own.
struct HeldFiles {
    private var files: [any StorageFile] = []
    /// For how many of the paths, from the front, everything is done that can be.
    private(set) var count = 0

    /// Holds the files of `paths`, in order. One that is not there needs no holding, and one that cannot be opened because
    /// it, or its directory, is damaged is replaced all the same.
    ///
    /// - Parameter minimum: how many paths there must be descriptors for; fewer than all of them may do.
    /// - Throws: that there are too many open files, before anything was changed. Who replaces a file needs a descriptor more
    ///   for the new one, so this refuses nothing that could have been done; who removes files can do it later.
    init(_ paths: [StoragePath], atLeast minimum: Int, on fileSystem: any FileSystem) throws(FileSystemError) {
        for path in paths {
            do throws(FileSystemError) {
                files.append(try fileSystem.open(path, .read))
            } catch {
                guard error.isTooManyOpenFiles else {
                    count += 1
                    continue
                }
                if count >= minimum { return }
                release()
                throw error
            }
            count += 1
        }
    }

    /// Lets go of the files.
    func release() {
        for file in files { try? file.close() }
    }
}
