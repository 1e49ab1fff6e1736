// What injected faults do, and when they strike.
import StorageIO
import StorageSimulation
import Testing

@Suite struct FaultPlanTests {
    let disk = SimulatedFileSystem()
    static let syncs: Set<SystemCall> = [.synchronizeData]

    @Test(arguments: 1...6)
    func `exactly the n-th call fails, and changes nothing`(number: Int) throws {
        disk.inject(.fail(call: number, code: ErrorNumber.inputOutput))
        var failures: [Int] = []
        for call in 1...6 {
            let path = StoragePath("f\(call)")
            if code({ try disk.createDirectory(path) }) == ErrorNumber.inputOutput { failures.append(call) }
        }
        #expect(failures == [number])
        #expect(try disk.names().count == 5)
    }

    @Test func `a lasting fault on one kind of call and one path leaves the others alone`() throws {
        let file = try disk.make(a)
        let other = try disk.make(b)
        disk.inject(
            .fail(call: 2, code: ErrorNumber.noSpace, forever: true, calls: [.write], pathPrefix: "a"))
        for _ in 0..<3 { try other.put([1]) }
        try file.put([1])
        #expect(code { try file.put([1]) } == ErrorNumber.noSpace)
        #expect(code { try file.put([1]) } == ErrorNumber.noSpace)
        try file.synchronizeData()
        try other.put([1])
    }

    @Test(arguments: [SystemCall.synchronizeData, .synchronize])
    func `a failed sync loses for good what it should have saved, and the next one succeeds`(
        call: SystemCall
    ) throws {
        let file = try disk.make(a, filled(1, 1_024))
        try file.put(filled(2, 512))
        disk.inject(.fail(call: 1, code: ErrorNumber.inputOutput, calls: [call]))
        func sync() throws { try call == .synchronize ? file.synchronize() : file.synchronizeData() }
        #expect(code { try sync() } == ErrorNumber.inputOutput)
        #expect(try file.get(1) == [2], "the page cache still shows it")
        try file.put(filled(3, 512), at: 512)
        try sync()
        #expect(disk.durableContents(of: a) == filled(1, 512) + filled(3, 512))
        #expect(disk.crashImage(.keepAll).contents(of: a) == filled(1, 512) + filled(3, 512))
        try file.put([4])
        try sync()
        #expect(disk.durableContents(of: a)?.prefix(2) == [4, 2], "a page written again takes all of itself along")
    }

    @Test func `a failed sync may also lose nothing, or some`() throws {
        let file = try disk.make(a, filled(1, 512 * 32))
        func dirty() throws {
            for index in 0..<32 { try file.put(filled(2, 512), at: UInt64(512 * index)) }
        }
        try dirty()
        disk.inject(FaultPlan([Fault(.failSync(5, losing: .nothing), .at(1), calls: Self.syncs)]))
        #expect(code { try file.synchronizeData() } == 5)
        #expect(disk.durableContents(of: a) == filled(1, 512 * 32))
        #expect(disk.pendingOperationCount == 32)
        disk.inject(FaultPlan([Fault(.failSync(5, losing: .some(seed: 3)), .at(1), calls: Self.syncs)]))
        #expect(code { try file.synchronizeData() } == 5)
        let survivors = try #require(disk.durableContents(of: a)).filter { $0 == 2 }.count / 512
        #expect(survivors > 0 && survivors < 32)
        #expect(disk.pendingOperationCount == 0)
    }

    @Test func `after a kill the page cache still shows what a failed sync lost, until the power goes`() throws {
        let lock = try disk.lockRoot(exclusive: true)
        let file = try disk.make(a, filled(1, 512))
        try file.put(filled(2, 512))
        disk.inject(.fail(call: 1, code: ErrorNumber.inputOutput, forever: true, calls: Self.syncs))
        #expect(code { try file.synchronizeData() } == ErrorNumber.inputOutput)
        let killed = disk.processKillImage()
        _ = try killed.lockRoot(exclusive: true)
        let reopened = try killed.open(a, .readWrite)
        #expect(try reopened.get(1) == [2])
        try reopened.synchronizeData()
        #expect(killed.crashImage(.keepAll).contents(of: a) == filled(1, 512))
        try reopened.put(filled(2, 512))
        try reopened.synchronizeData()
        #expect(killed.durableContents(of: a) == filled(2, 512))
        #expect(disk.durableContents(of: a) == filled(1, 512))
        lock.release()
    }

    @Test func `a failed directory sync loses names but still shows them`() throws {
        _ = try disk.make(a, durable: false)
        disk.inject(.fail(call: 1, code: ErrorNumber.inputOutput, calls: [.synchronizeDirectory]))
        #expect(code { try disk.synchronizeDirectory(.root) } == ErrorNumber.inputOutput)
        try disk.synchronizeDirectory(.root)
        #expect(try disk.names() == ["a"])
        #expect(try disk.crashImage(.keepAll).names() == [])
    }

    @Test func `short transfers and interruptions are survived by going on`() throws {
        let file = try disk.make(a)
        disk.inject(
            FaultPlan([
                Fault(.fail(ErrorNumber.interrupted), .probability(0.3), calls: [.read, .write]),
                Fault(.short(bytes: 7), .from(1), calls: [.read, .write]),
            ]))
        let bytes = (0..<300).map { UInt8($0 % 251) }
        let before = disk.callCount
        try file.put(bytes)
        #expect(try file.get(400) == bytes)
        #expect(disk.callCount - before > 86)
    }

    @Test func `a write may fail after a part of it was done`() throws {
        let file = try disk.make(a)
        disk.inject(FaultPlan([Fault(.failAfter(bytes: 3, code: ErrorNumber.noSpace), .at(1))]))
        #expect(code { try file.put([1, 2, 3, 4, 5]) } == ErrorNumber.noSpace)
        #expect(disk.contents(of: a) == [1, 2, 3])
    }

    @Test func `a lost write is readable, survives a sync in appearance and is gone after the crash`() throws {
        let file = try disk.make(a, filled(1, 1_024))
        disk.inject(FaultPlan([Fault(.loseWrite, .at(1), calls: [.write])]))
        try file.put(filled(2, 512))
        try file.put(filled(3, 512), at: 512)
        try file.synchronizeData()
        #expect(try file.get(1) == [2])
        #expect(disk.durableContents(of: a) == filled(1, 512) + filled(3, 512))
    }

    @Test func `a misdirected write lands elsewhere on disk`() throws {
        let file = try disk.make(a, filled(1, 1_536))
        disk.inject(FaultPlan([Fault(.misdirectWrite(sectors: 2), .at(1), calls: [.write])]))
        try file.put(filled(2, 512))
        try file.synchronizeData()
        #expect(disk.contents(of: a) == filled(2, 512) + filled(1, 1_024))
        #expect(disk.durableContents(of: a) == filled(1, 1_024) + filled(2, 512))
    }

    @Test func `after a crash fault everything fails, names the call, and the state stays`() throws {
        let file = try disk.make(a, [1])
        let crash = disk.callCount + 2
        disk.inject(.crash(atCall: 2))
        try file.put([2])
        #expect(code { try file.synchronizeData() } == ErrorNumber.inputOutput)
        #expect(throws: FileSystemError.self) { try disk.names() }
        do {
            try file.put([3])
        } catch {
            #expect("\(error)".contains("crashed at call \(crash)"))
        }
        #expect(disk.hasCrashed)
        #expect(disk.crashImage(.loseAll).contents(of: a) == [1])
        #expect(disk.crashImage(.keepAll).contents(of: a) == [2])
        #expect(!disk.crashImage(.keepAll).hasCrashed)
    }

    @Test func `a delay moves the virtual clock`() throws {
        let clock = VirtualClock()
        let disk = SimulatedFileSystem(
            faults: FaultPlan([Fault(.delay(nanoseconds: 70), .from(2))]), clock: clock)
        for _ in 0..<3 { _ = try disk.names() }
        #expect(clock.monotonicNanoseconds() == 140)
    }

    @Test func `a plan strikes alike for one seed and differently for others`() throws {
        func failures(_ seed: UInt64) -> [Int] {
            let plan = FaultPlan([Fault(.fail(5), .probability(0.2))], seed: seed)
            let disk = SimulatedFileSystem(faults: plan)
            return (0..<100).filter { _ in code { _ = try disk.names() } != nil }
        }
        #expect(failures(1) == failures(1))
        #expect(failures(1) != failures(2))
        #expect((5...40).contains(failures(1).count))
        #expect(Set((0..<20).map { FaultPlan.swarm(seed: $0).faults }).count > 10)
    }
}
