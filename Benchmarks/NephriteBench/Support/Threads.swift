/// Threads of our own, so that busy readers do not take the cooperative pool away from the engine.

import Foundation
import Synchronization

/// Runs `body` on `count` threads at once and returns their results in order.
func onThreads<R: Sendable>(_ count: Int, _ body: @escaping @Sendable (Int) throws -> R) async throws -> [R] {
    return try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<[R], any Error>) in
        let gathering = Gathering(count: count, continuation: continuation)
        for index in 0..<count {
            Thread.detachNewThread {
                gathering.finish(index, Result { try body(index) })
            }
        }
    }
}

/// Collects the threads' results and resumes the waiter when the last one is there.
private final class Gathering<R: Sendable>: Sendable {
    private let count: Int
    private let continuation: CheckedContinuation<[R], any Error>
    private let results = Mutex<[Int: Result<R, any Error>]>([:])

    init(count: Int, continuation: CheckedContinuation<[R], any Error>) {
        self.count = count
        self.continuation = continuation
    }

    func finish(_ index: Int, _ result: Result<R, any Error>) {
        let all = results.withLock { results -> [Result<R, any Error>]? in
            results[index] = result
            return results.count == count ? (0..<count).compactMap { results[$0] } : nil
        }
        guard let all else { return }
        continuation.resume(with: Result { try all.map { try $0.get() } })
    }
}
