/// A value that a simulation's driver, its tasks and its hooks share.
import Synchronization

/// A lock around a value.
package final class Box<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    /// Creates a box.
    package init(_ value: Value) { state = Mutex(value) }

    /// The value now.
    package var value: Value { state.withLock { $0 } }

    /// Changes the value under the lock.
    @discardableResult
    package func update<R: Sendable>(_ body: @Sendable (inout Value) throws -> R) rethrows -> R {
        try state.withLock { value in try body(&value) }
    }
}
