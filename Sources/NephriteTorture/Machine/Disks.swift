/// Disks that parts make for themselves: a file system in memory of a given size, and ext4 on a loop device over an image
/// in memory. They are mounted in the process's own mount namespace, so nothing is left of them when it ends.
import CTorture
import Foundation

/// A mounted tmpfs.
struct MemoryDisk: ~Copyable {
    /// Where it is mounted.
    let path: String

    /// Mounts one of `byteCount` bytes at `path`, a directory.
    init(at path: String, byteCount: Int) throws {
        self.path = path
        unsafe try Machine.check(torture_mount("tmpfs", path, "tmpfs", "size=\(byteCount)"), "mounting a tmpfs")
    }

    deinit { _ = unsafe torture_unmount(path) }

    /// Makes it larger or smaller, but not smaller than what is in it.
    func resize(byteCount: Int) throws {
        unsafe try Machine.check(torture_remount(path, "size=\(byteCount)"), "resizing a tmpfs")
    }

    /// Bytes in use.
    func usedByteCount() throws -> Int {
        let count = unsafe torture_used_bytes(path)
        if count < 0 { throw TortureFailure(description: "asking for free space: \(Machine.message(Int32(count)))") }
        return Int(count)
    }
}

/// An ext4 file system on a loop device.
struct LoopDisk: ~Copyable {
    /// Where it is mounted while it is.
    let path: String
    private let image: String
    private let writesByPage: Bool
    private var isMounted = false
    /// The device whose requests are limited, and what its limit was.
    private var limited: (device: String, kibibytes: Int)?

    /// Makes the file system in a sparse image.
    ///
    /// - Parameters:
    ///   - image: the image's path.
    ///   - path: the mount point, a directory.
    ///   - byteCount: how large the file system says it is.
    ///   - writesByPage: whether each request to the device is one page, so that the image takes all of it or nothing. Linux
    ///     6.18 reports the success of a request of which an image without space took a part, and `fdatasync` that of
    ///     pages that are lost.
    init(image: String, at path: String, byteCount: UInt64, writesByPage: Bool = false) throws {
        self.image = image
        self.path = path
        self.writesByPage = writesByPage
        try Data().write(to: URL(fileURLWithPath: image))
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: image))
        try handle.truncate(atOffset: byteCount)
        try handle.close()
        let extended = "packed_meta_blocks=1,lazy_itable_init=0,lazy_journal_init=1"
        try Machine.run("mkfs.ext4", ["-q", "-F", "-E", extended, "-N", "512", "-J", "size=4", image])
        try fillHoles(byteCount: Self.metadataByteCount)
    }

    /// Where the file system keeps its journal, tables and bitmaps.
    private static let metadataByteCount = 8 << 20

    /// Writes the beginning of the image once more, so that it has no holes there: a memory disk that is full refuses the
    /// contents of files, and not the journal that the file system itself depends on.
    private func fillHoles(byteCount: Int) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: image))
        let beginning = try handle.read(upToCount: byteCount) ?? Data()
        try handle.seek(toOffset: 0)
        try handle.write(contentsOf: beginning)
        try handle.close()
    }

    deinit {
        if let limited { _ = try? Machine.limitRequests(of: limited.device, kibibytes: limited.kibibytes) }
        if isMounted { _ = unsafe torture_unmount(path) }
    }

    /// Attaches a loop device and mounts it; the kernel replays the file system's journal.
    mutating func mount(_ options: String) throws {
        var name = [CChar](repeating: 0, count: 32)
        let device = try unsafe Machine.check(torture_attach(image, &name), "attaching a loop device")
        // The mount keeps the device; without one it is detached.
        defer { close(device) }
        let end = name.firstIndex(of: 0) ?? name.endIndex
        let source = String(decoding: name[..<end].map(UInt8.init(bitPattern:)), as: UTF8.self)
        if writesByPage {
            let before = try Machine.limitRequests(of: source, kibibytes: Machine.pageByteCount >> 10)
            limited = (source, before)
        }
        unsafe try Machine.check(torture_mount(source, path, "ext4", options), "mounting \(source)")
        isMounted = true
    }

    /// Unmounts it, which detaches the loop device.
    mutating func unmount() throws {
        if let limited { _ = try Machine.limitRequests(of: limited.device, kibibytes: limited.kibibytes) }
        limited = nil
        unsafe try Machine.check(torture_unmount(path), "unmounting \(path)")
        isMounted = false
    }

    /// Cuts the power: nothing is written from now on, what was not synced is lost.
    func cutPower() throws { unsafe try Machine.check(torture_cut_power(path), "cutting the power") }
}
