// The n-th system call of each kind of work fails in every way, once and for good: a sample of the calls, all of them
// with NEPHRITE_LONG=1. A failure prints phase, kind and call; the run is deterministic.
import StorageSimulation
import Testing

@Suite(.timeLimit(.minutes(20)))
struct FaultMatrixTests {
    @Test(
        "A failing call is a typed error, and a store that is opened again holds what was acknowledged",
        arguments: FaultMatrix.Phase.allCases)
    func everyCall(phase: FaultMatrix.Phase) {
        var runs = 0
        var states = 0
        var failed = 0
        for (index, part) in FaultMatrix.all.enumerated() where part.phase == phase && failed < 4 {
            var call = Campaign.isLong ? 1 : 1 + index * 13 % 71
            while true {
                let outcome = part.run(call: call)
                runs += 1
                states += outcome.stateCount
                if !outcome.failures.isEmpty {
                    failed += 1
                    Issue.record("\(part), call \(call): \(outcome.failures.prefix(4).joined(separator: "\n"))")
                    break
                }
                guard outcome.struck else { break }
                call += Campaign.isLong ? 1 : 71
            }
        }
        #expect(runs > FaultMatrix.Failure.allCases.count)
        print("faults in \(phase): \(runs) runs, \(states) states")
    }

    @Test("A failure for good is met by the work, and the store says so")
    func strikes() {
        let outcome = FaultMatrix(.normal, .inputOutput, isForever: true).run(call: 40)
        #expect(outcome.struck && outcome.failures.isEmpty && outcome.stateCount == 4)
    }
}
