// The oracles: what they accept, and above all what they do not.
import StorageSimulation
import Testing

private func record(_ value: Float) -> ModelRecord { ModelRecord(vector: [value], metadata: [UInt8(value)]) }
private func put(_ id: String, _ value: Float) -> ModelOperation { .upsert(database: "d", id: id, record(value)) }
private func state(_ records: [String: Float]) -> ModelState {
    ModelState(databases: ["d": records.mapValues(record)])
}

@Suite struct ReferenceModelTests {
    /// Commits: 1 create, 2 x=1, 3 y=2, 4 batch(x=3, y=4), 5 delete x.
    private func model() throws -> ReferenceModel {
        var model = ReferenceModel()
        try model.submit(.create(database: "d"))
        try model.submit(put("x", 1))
        try model.submit(put("y", 2))
        try model.submit(.batch([put("x", 3), put("y", 4)]))
        try model.submit(.delete(database: "d", id: "x"))
        return model
    }

    @Test func `every prefix between acknowledged and submitted matches, and only those`() throws {
        let model = try model()
        for prefix in 0...5 {
            for acknowledged in 0...5 {
                for submitted in acknowledged...5 {
                    let found = model.matchingPrefix(
                        of: model.history[prefix], acknowledged: acknowledged, submitted: submitted)
                    #expect(found == ((acknowledged...submitted).contains(prefix) ? prefix : nil))
                }
            }
        }
    }

    @Test func `half a batch, a hole, a wrong bit and a phantom match nothing`() throws {
        let model = try model()
        let nan = ModelState(databases: ["d": ["x": ModelRecord(vector: [-1], metadata: [1])]])
        for wrong in [state(["x": 3, "y": 2]), state(["y": 2]), state(["x": 1, "z": 1]), nan] {
            #expect(model.matchingPrefix(of: wrong, acknowledged: 0, submitted: 5) == nil)
            #expect(model.mismatch(of: wrong, acknowledged: 0, submitted: 5) != nil)
        }
        #expect(model.mismatch(of: state(["y": 4]), acknowledged: 5, submitted: 5) == nil)
    }

    @Test func `the explanation names the nearest prefix, what differs, and lost commits`() throws {
        let model = try model()
        let half = try #require(model.mismatch(of: state(["x": 3, "y": 2]), acknowledged: 3, submitted: 4))
        #expect(half.contains("d/x is [3.0] + 1 bytes, expected [1.0] + 1 bytes"))
        let lost = try #require(model.mismatch(of: state(["x": 1]), acknowledged: 3, submitted: 5))
        #expect(lost.contains("exactly prefix 2: acknowledged commits are lost"))
    }

    @Test func `refused operations change nothing`() throws {
        var model = try model()
        let before = model.current
        for operation: ModelOperation in [
            .create(database: "d"), .drop(database: "e"), .upsert(database: "e", id: "x", record(1)),
            .insert(database: "d", id: "y", record(1)), .update(database: "d", id: "x", record(1)),
            .delete(database: "d", id: "x"), .batch([put("q", 1), .delete(database: "d", id: "x")]),
        ] {
            #expect(throws: ModelError.self) { try model.submit(operation) }
        }
        #expect(model.current == before && model.commitCount == 5)
        try model.submit(.insert(database: "d", id: "x", record(7)))
        try model.submit(.update(database: "d", id: "x", record(8)))
        #expect(model.current["d", "x"] == record(8))
        model.rollBack(to: 5)
        #expect(model.current == before)
        try model.submit(.drop(database: "d"))
        #expect(model.current == ModelState())
    }

    @Test func `components compare by bits`() {
        #expect(ModelRecord(vector: [.nan]) == ModelRecord(vector: [.nan]))
        #expect(ModelRecord(vector: [0]) != ModelRecord(vector: [-0.0]))
    }
}

@Suite struct ConcurrentHistoryTests {
    var history = ConcurrentHistory(initial: state([:]))

    @Test mutating func `an acknowledged write may not be lost, an unknown one may`() {
        let first = history.begin(put("x", 1))
        history.acknowledge(first)
        _ = history.begin(put("x", 2))
        #expect(history.mismatch(of: state(["x": 1])) == nil)
        #expect(history.mismatch(of: state(["x": 2])) == nil)
        #expect(history.mismatch(of: state([:])) != nil)
        #expect(history.mismatch(of: state(["x": 3])) != nil)
    }

    @Test mutating func `concurrent writes may be ordered either way, consecutive ones may not`() {
        let first = history.begin(put("x", 1))
        let second = history.begin(put("x", 2))
        history.acknowledge(second)
        history.acknowledge(first)
        #expect(history.mismatch(of: state(["x": 1])) == nil)
        #expect(history.mismatch(of: state(["x": 2])) == nil)
        let third = history.begin(put("x", 3))
        history.acknowledge(third)
        #expect(history.mismatch(of: state(["x": 1])) != nil)
        #expect(history.mismatch(of: state(["x": 3])) == nil)
    }

    @Test mutating func `a refused write may not show`() {
        history.refuse(history.begin(put("x", 1)))
        #expect(history.mismatch(of: state([:])) == nil)
        #expect(history.mismatch(of: state(["x": 1])) != nil)
    }

    @Test mutating func `half of an unknown batch is found`() {
        history.acknowledge(history.begin(.batch([put("x", 1), put("y", 1)])))
        _ = history.begin(.batch([put("x", 2), put("y", 2)]))
        #expect(history.mismatch(of: state(["x": 1, "y": 1])) == nil)
        #expect(history.mismatch(of: state(["x": 2, "y": 2])) == nil)
        #expect(history.mismatch(of: state(["x": 2, "y": 1]))?.contains("in part") == true)
        _ = history.begin(put("y", 3))
        #expect(history.mismatch(of: state(["x": 2, "y": 3])) == nil)
    }

    @Test mutating func `a dropped database is gone with all its records`() {
        history.acknowledge(history.begin(put("x", 1)))
        _ = history.begin(.drop(database: "d"))
        #expect(history.mismatch(of: state(["x": 1])) == nil)
        #expect(history.mismatch(of: ModelState()) == nil)
        #expect(history.mismatch(of: state([:])) != nil)
    }

    @Test mutating func `with the order known the state must be exactly its replay`() {
        let first = history.begin(put("x", 1))
        let second = history.begin(put("x", 2))
        history.acknowledge(first)
        history.acknowledge(second)
        let third = history.begin(put("y", 3))
        #expect(history.mismatch(of: state(["x": 2]), commitOrder: [first, second]) == nil)
        #expect(history.mismatch(of: state(["x": 1, "y": 3]), commitOrder: [second, first, third]) == nil)
        #expect(history.mismatch(of: state(["x": 2]), commitOrder: [second, first]) != nil)
        #expect(history.mismatch(of: state(["x": 1]), commitOrder: [first])?.contains("acknowledged") == true)
        #expect(history.mismatch(of: state([:]), commitOrder: [first, second, second]) != nil)
        let early = history.mismatch(of: state(["x": 2, "y": 3]), commitOrder: [third, first, second])
        #expect(early?.contains("one that began when it had ended") == true)
    }
}
