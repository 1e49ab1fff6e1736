// A number that several tasks count up.
import Synchronization

final class Tally: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .acquiring) }

    @discardableResult
    func add(_ number: Int = 1) -> Int { count.wrappingAdd(number, ordering: .acquiringAndReleasing).newValue }
}
