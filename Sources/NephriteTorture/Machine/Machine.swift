/// What this machine lets the parts do: mounting, loop devices; the one place that asks for it.
import CTorture
import Foundation

/// Whether this process may mount file systems.
enum Mounts: Sendable {
    /// It may, and does so in a namespace of its own.
    case privateNamespace
    /// It may not, and why.
    case refused(String)
}

/// What the machine has.
enum Machine {
    /// Gives this process a mount namespace of its own. Call it before any thread is started.
    static func enterPrivateMounts() -> Mounts {
        let code = torture_private_mounts()
        return code == 0 ? .privateNamespace : .refused("needs root and mount namespaces (\(message(code)))")
    }

    /// What keeps this process from mounting, nil if nothing does.
    static func mountObstacle(_ mounts: Mounts) -> String? {
        if case .refused(let reason) = mounts { return reason }
        return nil
    }

    /// What keeps this process from mounting ext4 on a loop device, nil if nothing does.
    static func loopObstacle(_ mounts: Mounts) -> String? {
        if let obstacle = mountObstacle(mounts) { return obstacle }
        guard FileManager.default.isWritableFile(atPath: "/dev/loop-control") else {
            return "needs root and loop devices (/dev/loop-control)"
        }
        guard let systems = try? String(contentsOfFile: "/proc/filesystems", encoding: .utf8),
            systems.contains("ext4")
        else { return "needs a kernel with ext4" }
        return program("mkfs.ext4") == nil ? "needs mkfs.ext4" : nil
    }

    /// Bytes of a page of memory.
    static var pageByteCount: Int { sysconf(Int32(_SC_PAGESIZE)) }

    /// Has the kernel divide what goes to a block device into requests of a limited length.
    ///
    /// - Parameters:
    ///   - device: `/dev/…`; it stays so for whoever attaches something to it next.
    ///   - kibibytes: the limit.
    /// - Returns: what the limit was.
    static func limitRequests(of device: String, kibibytes: Int) throws -> Int {
        let name = URL(fileURLWithPath: device).lastPathComponent
        let setting = URL(fileURLWithPath: "/sys/block/\(name)/queue/max_sectors_kb")
        let before = try String(contentsOf: setting, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        try Data("\(kibibytes)\n".utf8).write(to: setting)
        guard let limit = Int(before) else { throw TortureFailure(description: "\(setting.path) says “\(before)”.") }
        return limit
    }

    /// The path of a program, searched for where administrators' programs are too.
    static func program(_ name: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return (path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]).map { $0 + "/" + name }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Runs a program to its end.
    ///
    /// - Throws: `TortureFailure` with what it said when it did not end with 0.
    static func run(_ name: String, _ arguments: [String]) throws {
        guard let path = program(name) else { throw TortureFailure(description: "There is no \(name).") }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            throw TortureFailure(description: "\(name) failed: \(String(decoding: said, as: UTF8.self))")
        }
    }

    /// The words for a negative `errno`.
    static func message(_ code: Int32) -> String { unsafe String(cString: strerror(-code)) }

    /// Checks what a call of the C target answered.
    @discardableResult
    static func check(_ code: Int32, _ what: String) throws(TortureFailure) -> Int32 {
        if code < 0 { throw TortureFailure(description: "\(what): \(message(code))") }
        return code
    }
}
