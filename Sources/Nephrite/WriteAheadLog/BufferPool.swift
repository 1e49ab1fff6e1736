/// Large buffers that log buffers borrow and give back: fresh memory of that size would come from the kernel page by page
/// each time. One pool per store.
import Synchronization

final class BufferPool: Sendable {
    private static let smallestByteCount = 64 << 10
    private static let pooledByteLimit = 64 << 20

    // SAFETY: the pool owns the pointers in it; each is handed to one buffer at a time.
    @safe private struct Pooled: @unchecked Sendable {
        let memory: UnsafeMutableRawPointer
        let byteCount: Int
    }

    private struct State {
        var free: [Pooled] = []
        var byteCount = 0
    }

    private let state = Mutex(State())

    deinit {
        state.withLock { state in
            for pooled in state.free { unsafe pooled.memory.deallocate() }
            state.free = []
        }
    }

    /// Memory of at least `byteCount` bytes, aligned to 64, of unspecified content, and how large it is.
    func take(_ byteCount: Int) -> (memory: UnsafeMutableRawPointer, byteCount: Int) {
        if byteCount >= Self.smallestByteCount {
            let found: Pooled? = state.withLock { state in
                // The smallest that fits, unless it is far too large.
                var best: Int?
                for index in state.free.indices
                where state.free[index].byteCount >= byteCount && state.free[index].byteCount <= byteCount * 4 {
                    if best.map({ state.free[index].byteCount < state.free[$0].byteCount }) ?? true { best = index }
                }
                guard let best else { return nil }
                state.byteCount -= state.free[best].byteCount
                return state.free.remove(at: best)
            }
            if let found { return unsafe (found.memory, found.byteCount) }
        }
        return (.allocate(byteCount: byteCount, alignment: 64), byteCount)
    }

    /// Takes memory back.
    func give(_ memory: UnsafeMutableRawPointer, byteCount: Int) {
        if byteCount >= Self.smallestByteCount {
            let pooled = unsafe Pooled(memory: memory, byteCount: byteCount)
            let isKept = state.withLock { state in
                guard state.byteCount + byteCount <= Self.pooledByteLimit, state.free.count < 64 else { return false }
                state.free.append(pooled)
                state.byteCount += byteCount
                return true
            }
            if isKept { return }
        }
        unsafe memory.deallocate()
    }
}
