/// Clocks, chance, scratch memory and what the kernel says about the process.
import Foundation
import Testing

@testable import StorageIO

@Suite struct RuntimeTests {
    @Test("Time does not go back, and the wall clock is of this century")
    func readsClocks() {
        let clock = SystemClock()
        let times = (0..<1_000).map { _ in clock.monotonicNanoseconds() }
        #expect(times == times.sorted())
        #expect(clock.wallNanoseconds() > 1_700_000_000_000_000_000)
    }

    @Test("A sleep ends early when its task is cancelled", .timeLimit(.minutes(20)))
    func cancelsSleep() async {
        await withTaskGroup { group in
            group.addTask {
                await #expect(throws: CancellationError.self) {
                    try await SystemClock().sleep(nanoseconds: .max)
                }
            }
            group.cancelAll()
        }
    }

    @Test("A sleep of no length ends")
    func endsSleep() async throws {
        let clock = SystemClock()
        let start = clock.monotonicNanoseconds()
        try await clock.sleep(nanoseconds: 1)
        #expect(clock.monotonicNanoseconds() > start)
    }

    @Test("A system file that cannot be read has no contents, and writing to one that is not there does nothing")
    func refusesSystemFiles() throws {
        try withTemporaryDirectory { path in
            SystemFile.write("x", to: path + "/none")
            #expect(SystemFile.contents(of: path + "/none") == nil)
        }
        #if os(Linux)
            // Nothing is mapped at address 0, where reading begins.
            #expect(SystemFile.contents(of: "/proc/self/mem") == nil)
        #endif
    }

    @Test("Random bytes differ and fill odd lengths", arguments: [0, 1, 7, 8, 9, 64])
    func fillsRandomly(count: Int) {
        struct Counter: RandomSource {
            func next() -> UInt64 { 0x0807_0605_0403_0201 }
        }
        let buffer = AlignedBuffer(byteCount: count)
        unsafe Counter().fill(buffer.bytes)
        #expect(unsafe Array(buffer.bytes) == (0..<count).map { UInt8($0 % 8 + 1) })
        #expect(Set((0..<100).map { _ in SystemRandomSource().next() }).count == 100)
    }

    @Test("Scratch memory is aligned and zero", arguments: [0, 1, 63, 4_096], [64, 4_096])
    func alignsBuffers(byteCount: Int, alignment: Int) {
        let buffer = AlignedBuffer(byteCount: byteCount, alignment: alignment)
        #expect(buffer.byteCount == byteCount)
        #expect(unsafe buffer.bytes.allSatisfy { $0 == 0 })
        #expect(unsafe Int(bitPattern: buffer.bytes.baseAddress) % alignment == 0)
    }

    @Test("The process knows its memory")
    func readsProcessStatus() {
        let text = "Name:\tx\nVmRSS:\t  20 kB\nRssAnon:\t    12 kB\nRssFile:\tlots\n"
        #expect(ProcessStatistics.statusByteCount("RssAnon:", in: text) == 12 << 10)
        #expect(ProcessStatistics.statusByteCount("RssFile:", in: text) == nil)
        #expect(ProcessStatistics.statusByteCount("RssShmem:", in: text) == nil)
        #expect(ProcessStatistics.statusByteCount("VmRSS:", in: "VmRSS: 9007199254740992 kB") == nil)
        #expect(ProcessStatistics.activeProcessorCount >= 1)
        #if os(Linux)
            #expect((ProcessStatistics.residentAnonymousByteCount() ?? 0) > 1 << 16)
            #expect((ProcessStatistics.residentByteCount() ?? 0) > 1 << 16)
        #endif
    }
}
