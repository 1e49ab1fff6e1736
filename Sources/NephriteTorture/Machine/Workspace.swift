/// The directory of one run: parts put stores, images and mount points there; it is removed at the end, and what an
/// earlier run that was killed left behind is removed at the beginning.
import Foundation

/// A temporary directory that says whose it is.
final class Workspace: Sendable {
    private static let prefix = "nephrite-torture-"

    /// The directory.
    let path: String
    private let parent: String

    init(in parent: String) throws {
        self.parent = parent
        path = "\(parent)/\(Self.prefix)\(getpid())"
        Self.sweep(parent)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Makes an empty directory, whatever was there before.
    func directory(_ name: String) throws -> String {
        let path = path + "/" + name
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// Copies the store of a failed round to where it stays; the path of the copy.
    func keep(_ store: String, seed: UInt64) -> String {
        let kept = "\(parent)/nephrite-torture-kept-seed\(seed)"
        try? FileManager.default.removeItem(atPath: kept)
        do {
            try FileManager.default.copyItem(atPath: store, toPath: kept)
            return kept
        } catch {
            return "nowhere (\(error))"
        }
    }

    /// Removes the directory.
    func remove() { try? FileManager.default.removeItem(atPath: path) }

    /// Removes the directories of runs whose process is gone.
    private static func sweep(_ parent: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            guard name.hasPrefix(prefix), let process = Int32(name.dropFirst(prefix.count)), kill(process, 0) != 0,
                errno == ESRCH
            else { continue }
            try? FileManager.default.removeItem(atPath: parent + "/" + name)
        }
    }
}
