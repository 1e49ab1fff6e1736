/// A control group that bounds the memory of a child, below the group that this process is in; version 1 or 2 of the
/// kernel's interface, whichever has the memory controller.
import Foundation

/// A group with a limit, removed when it is let go.
struct MemoryGroup: ~Copyable {
    /// Its directory; a process that writes “0” to its `cgroup.procs` joins it.
    let path: String
    private let isVersion1: Bool

    /// Makes a group.
    ///
    /// - Throws: when the kernel has no memory controller for this process, or it may not make groups.
    init(limitByteCount: Int) throws {
        guard let (parent, isVersion1) = Self.parent() else {
            throw TortureFailure(description: "no memory controller")
        }
        let path = "\(parent)/nephrite-torture-\(getpid())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        do {
            try Self.write(
                "\(limitByteCount)", to: path + (isVersion1 ? "/memory.limit_in_bytes" : "/memory.max"))
        } catch {
            unsafe rmdir(path)
            throw error
        }
        self.path = path
        self.isVersion1 = isVersion1
    }

    deinit { unsafe rmdir(path) }

    /// What keeps this process from making one, nil if nothing does.
    static func obstacle() -> String? {
        guard getuid() == 0 else { return "needs root and the memory control group" }
        do {
            _ = try MemoryGroup(limitByteCount: 64 << 20)
            return nil
        } catch {
            return "needs the memory control group (\(error))"
        }
    }

    /// Moves the calling process into the group at `path`.
    static func join(_ path: String) throws { try write("0", to: path + "/cgroup.procs") }

    /// The most that was ever charged to it, in bytes; nil where the kernel does not say.
    func peakByteCount() -> Int? { number(isVersion1 ? "memory.max_usage_in_bytes" : "memory.peak") }

    /// How many processes of the group the kernel has killed because memory ran out.
    func killCount() -> Int {
        let file = path + (isVersion1 ? "/memory.oom_control" : "/memory.events")
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
        return line.flatMap { Int($0.dropFirst("oom_kill ".count)) } ?? 0
    }

    private func number(_ file: String) -> Int? {
        (try? String(contentsOfFile: path + "/" + file, encoding: .utf8)).flatMap {
            Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
        }
    }

    /// The directory of this process's own group with the memory controller.
    private static func parent() -> (path: String, isVersion1: Bool)? {
        guard let own = try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8),
            let mounts = try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
        else { return nil }
        var mountPoints: [String: String] = [:]
        for mount in mounts.split(separator: "\n").map({ $0.split(separator: " ") }) where mount.count > 3 {
            if mount[2] == "cgroup2" { mountPoints[""] = String(mount[1]) }
            if mount[2] == "cgroup", mount[3].split(separator: ",").contains("memory") {
                mountPoints["memory"] = String(mount[1])
            }
        }
        for line in own.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 3 else { continue }
            let isVersion1 = fields[1].split(separator: ",").contains("memory")
            guard isVersion1 || (fields[0] == "0" && mountPoints["memory"] == nil),
                let mountPoint = mountPoints[isVersion1 ? "memory" : ""]
            else { continue }
            return (mountPoint + (fields[2] == "/" ? "" : fields[2]), isVersion1)
        }
        return nil
    }

    private static func write(_ text: String, to path: String) throws {
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }
}
