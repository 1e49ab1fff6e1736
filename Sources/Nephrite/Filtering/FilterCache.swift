/// What filters of a database resolved to lately: resolving looks here first, and leaves its result here. One for each
/// database, shared by its snapshots.
import Synchronization

/// A result is kept with the record table it was made from. It is never taken for another state as it is: the resolver
/// compares the two tables page by page and asks again about every record that is not the same in both.
final class FilterCache: Sendable {
    /// Results kept, and bytes of their bitmaps, at most.
    static let entryLimit = 64
    static let byteLimit = 8 << 20

    private struct Entry {
        /// Nil for a filter that was only sampled.
        var base: FilterScan.Base?
        var version: RecordVersion
        var lastUse: UInt64
    }

    private struct State {
        var entries: [[UInt8]: Entry] = [:]
        var clock: UInt64 = 0
        var byteCount = 0
    }

    private let state = Mutex(State())

    /// The result for a filter, if there is one, and whether the filter was asked for before.
    func find(_ key: [UInt8]) -> (base: FilterScan.Base?, wasSeen: Bool) {
        state.withLock { state in
            guard state.entries[key] != nil else { return (nil, false) }
            state.clock += 1
            state.entries[key]?.lastUse = state.clock
            return (state.entries[key]?.base, true)
        }
    }

    /// Keeps a result, unless there is one of a newer version; without a result it notes that the filter was asked for.
    func keep(_ base: FilterScan.Base?, version: RecordVersion, for key: [UInt8]) {
        let size = key.count + (base?.matches.words.count ?? 0) * 8
        guard size <= Self.byteLimit / 4 else { return }
        let dropped = state.withLock { state -> [Entry] in
            if let old = state.entries[key], old.version > version, old.base != nil { return [] }
            state.clock += 1
            var dropped: [Entry] = []
            if let old = state.entries.updateValue(
                Entry(base: base, version: version, lastUse: state.clock), forKey: key)
            {
                state.byteCount -= Self.size(key, old)
                dropped.append(old)
            }
            state.byteCount += size
            while state.entries.count > Self.entryLimit || state.byteCount > Self.byteLimit {
                guard let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })?.key,
                    let entry = state.entries.removeValue(forKey: oldest)
                else { break }
                state.byteCount -= Self.size(oldest, entry)
                dropped.append(entry)
            }
            return dropped
        }
        // Old tables may be the last reference to many pages: let them go outside the lock.
        withExtendedLifetime(dropped) {}
    }

    /// Forgets everything: the file is closed.
    func clear() {
        let old = state.withLock { state in
            defer { state = State() }
            return state.entries
        }
        withExtendedLifetime(old) {}
    }

    private static func size(_ key: [UInt8], _ entry: Entry) -> Int {
        key.count + (entry.base?.matches.words.count ?? 0) * 8
    }
}
