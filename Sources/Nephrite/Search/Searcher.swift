/// Runs searches over snapshots: divides the slots among the store's search threads and merges what they find. Snapshots
/// hand it requests; it hands back rows.
import CNephrite
import StorageFormat
import StorageIO

final class Searcher: Sendable {
    /// Scans of fewer bytes are made where they are asked for.
    private static let inlineByteCount = 1 << 20
    /// Queries that share a pass.
    private static let batchSize = 64

    let executor: (any TaskExecutor)?
    let threadCount: Int
    let load: SearchLoad

    /// - Parameter executor: where large scans run; nil runs all of them on the caller.
    init(executor: (any TaskExecutor)?, threadCount: Int, coreCount: Int = ProcessStatistics.activeProcessorCount) {
        self.executor = executor
        self.threadCount = max(1, threadCount)
        load = SearchLoad(coreCount: coreCount, threadCount: self.threadCount)
    }

    /// Answers a request with the codes that the snapshot has.
    func search(_ snapshot: DatabaseSnapshot, _ request: SearchRequest) async throws -> SearchAnswer {
        try await search(snapshot, request, codes: snapshot.codes)
    }

    /// Answers a request.
    ///
    /// - Parameter codes: of the snapshot's database, or none; the exact answer does not depend on them.
    func search(
        _ snapshot: DatabaseSnapshot, _ request: SearchRequest, codes: CodeView?
    ) async throws -> SearchAnswer {
        try Task.checkCancellation()
        var answer = SearchAnswer(rows: [])
        var first = 0
        while first < request.queries.count {
            var batch = request
            batch.queries = Array(request.queries[first..<min(first + Self.batchSize, request.queries.count)])
            let plan = CascadePlan(snapshot, batch, codes: codes)
            let part = try await answerBatch(plan)
            try plan.check()
            answer.rows += part.rows
            answer.counts += part.counts
            answer.usedCodes = part.usedCodes
            answer.threadCount = part.threadCount
            first += Self.batchSize
        }
        return answer
    }

    private func answerBatch(_ plan: CascadePlan) async throws -> SearchAnswer {
        let pageCount = plan.snapshot.records.pages.pageCount
        let stride = plan.codes?.codec.highStride ?? plan.snapshot.identity.stride
        let byteCount = plan.rowCount * stride * plan.request.queries.count
        guard let executor, byteCount > Self.inlineByteCount, pageCount > 0 else {
            let part = try load.inline {
                try CascadeScan.run(plan, ScanShares(pageCount: pageCount, threadCount: 1))
            }
            return Self.finish(plan, part, threadCount: 1)
        }
        let threads = min(threadCount, max(1, plan.request.maximumThreads ?? threadCount))
        let partCount = min(threads, pageCount)
        let load = load
        load.beginParallel(partCount)
        let shares = ScanShares(pageCount: pageCount, threadCount: partCount)
        let merged = try await withThrowingTaskGroup(of: CascadeScan.Part.self) { group in
            for _ in 0..<partCount {
                group.addTask(executorPreference: executor) {
                    defer { load.endParallel() }
                    try Task.checkCancellation()
                    return try CascadeScan.run(plan, shares)
                }
            }
            var merged: CascadeScan.Part?
            for try await part in group {
                if merged == nil { merged = part } else { merged?.merge(part, plan) }
            }
            return merged
        }
        guard let merged else { return SearchAnswer(rows: plan.request.queries.map { _ in [] }) }
        return Self.finish(plan, merged, threadCount: partCount)
    }

    /// Compares the candidates of a budget, which only all parts together know, and puts the rows in order.
    private static func finish(_ plan: CascadePlan, _ part: CascadeScan.Part, threadCount: Int) -> SearchAnswer {
        var answer = SearchAnswer(
            rows: [], counts: part.counts, usedCodes: plan.codes != nil, threadCount: threadCount)
        let snapshot = plan.snapshot
        for (scanner, budget) in zip(part.scanners, part.budgets) {
            var scanner = scanner
            let entries = budget?.sorted(precedes: <) ?? []
            snapshot.mapping.noteScatteredReads(entries.count)
            for entry in entries {
                answer.counts.compared += 1
                unsafe scanner.scan(
                    rows: snapshot.vectorAddress(entry.slot), firstSlot: entry.slot, count: 1, isLive: nil,
                    precedes: snapshot.idPrecedes)
            }
            answer.rows.append(scanner.ranked(precedes: snapshot.idPrecedes))
        }
        return answer
    }
}

extension CascadeScan.Part {
    fileprivate mutating func merge(_ other: Self, _ plan: CascadePlan) {
        for index in scanners.indices {
            scanners[index].merge(other.scanners[index], precedes: plan.snapshot.idPrecedes)
            if let budget = other.budgets[index] { budgets[index]?.merge(budget, precedes: <) }
        }
        counts += other.counts
    }
}

extension DatabaseSnapshot {
    /// Whether the id at one slot sorts before that at another, byte by byte: the order of equal scores.
    func idPrecedes(_ first: UInt32, _ second: UInt32) -> Bool {
        unsafe idBytes(first).lexicographicallyPrecedes(idBytes(second))
    }

    private func idBytes(_ slot: UInt32) -> UnsafeRawBufferPointer {
        let entry = records[Int(slot)]
        return unsafe UnsafeRawBufferPointer(start: payloadAddress(entry), count: Int(entry.idLength))
    }

    /// What users see of rows. Their ids lie anywhere in memory: some are on their way while one is read.
    func hits(_ rows: [TopK.Entry]) -> [SearchHit] {
        let ahead = 12
        for row in rows.prefix(ahead) { prefetchID(row.slot) }
        return rows.indices.map { index in
            if index + ahead < rows.count { prefetchID(rows[index + ahead].slot) }
            return hit(rows[index])
        }
    }

    private func prefetchID(_ slot: UInt32) { unsafe nephrite_prefetch(payloadAddress(records[Int(slot)])) }

    /// What users see of a row.
    func hit(_ row: TopK.Entry) -> SearchHit {
        SearchHit(id: id(of: records[Int(row.slot)]), score: ScanMetric(options.metric).score(ofRank: row.score))
    }
}
