/// Memory for index pages: a table takes pages from its pool and pages that are let go of come back to it, so that a
/// commit, which copies pages and drops their older versions, does not go through the allocator for each.
import CNephrite
import StorageFormat
import Synchronization

// SAFETY: slabs are only added, by the one who holds the mutex, and freed with the pool, which every page of it retains.
final class PagePool: @unchecked Sendable {
    static let pageByteCount = FormatLimits.pageByteCount
    /// What a page notes about itself, beside its bytes: epoch and active entries.
    static let noteByteCount = 24
    /// Pages of a slab, unless a longer run is asked for: 1 MiB.
    private static let slabPageCount = 256
    /// Free pages kept as they are, besides a quarter of all there are; the memory of more goes back to the system until they
    /// are used again.
    private static let keptPageCount = 2_048

    /// The memory of one page.
    // SAFETY: addresses; whoever holds the page decides who may write there.
    @unsafe struct Place: @unchecked Sendable {
        let bytes: UnsafeMutableRawPointer
        let note: UnsafeMutableRawPointer

        /// The checkpoint epoch of the last change; a checkpoint writes the pages whose epoch its region has not seen.
        var epoch: UInt64 {
            @inline(__always) get { unsafe note.load(as: UInt64.self) }
            @inline(__always) nonmutating set { unsafe note.storeBytes(of: newValue, as: UInt64.self) }
        }

        /// Notes whether an entry of a record page is active.
        @inline(__always)
        func noteEntry(_ index: Int, isActive: Bool) {
            let offset = 8 &+ (index &>> 6) &* 8
            var word = unsafe note.load(fromByteOffset: offset, as: UInt64.self)
            let bit: UInt64 = 1 &<< UInt64(index & 63)
            word = isActive ? word | bit : word & ~bit
            unsafe note.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
        }
    }

    @safe private struct State {
        var free: [Place] = unsafe []
        var slabs: [UnsafeMutableRawPointer] = unsafe []
        /// Pages of all slabs.
        var pageCount = 0
    }

    private let state = Mutex(State())

    deinit {
        let slabs = unsafe state.withLock { state in unsafe state.slabs }
        for index in unsafe slabs.indices { unsafe slabs[index].deallocate() }
    }

    /// A page whose contents are undefined.
    func take() -> Place {
        unsafe state.withLock { state in
            if let place = unsafe state.free.popLast() { return unsafe place }
            let run = unsafe Self.makeRun(Self.slabPageCount, &state)
            for index in (1..<Self.slabPageCount).reversed() { unsafe state.free.append(run[index]) }
            return unsafe run[0]
        }
    }

    /// Pages one behind the other in memory, to be read into at once.
    func takeRun(_ count: Int) -> Run { unsafe state.withLock { unsafe Self.makeRun(count, &$0) } }

    /// Takes a page back that nobody refers to any more.
    func giveBack(_ place: Place) {
        state.withLock { state in
            if unsafe state.free.count >= max(Self.keptPageCount, state.pageCount / 4) {
                unsafe nephrite_discard(place.bytes, Self.pageByteCount)
            }
            unsafe state.free.append(place)
        }
    }

    /// Pages one behind the other, with their notes behind all of them.
    // SAFETY: as Place.
    @unsafe struct Run: @unchecked Sendable {
        let start: UnsafeMutableRawPointer
        let count: Int

        subscript(index: Int) -> Place {
            unsafe precondition(index >= 0 && index < count, "a page outside its run")
            return unsafe Place(
                bytes: start + index * PagePool.pageByteCount,
                note: start + count * PagePool.pageByteCount + index * PagePool.noteByteCount)
        }
    }

    private static func makeRun(_ count: Int, _ state: inout State) -> Run {
        let start = UnsafeMutableRawPointer.allocate(
            byteCount: count * (pageByteCount + noteByteCount), alignment: pageByteCount)
        unsafe state.slabs.append(start)
        state.pageCount += count
        return unsafe Run(start: start, count: count)
    }
}
