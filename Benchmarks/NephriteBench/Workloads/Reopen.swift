/// `reopen`: a new process opens a kept store, gets a row and searches; three times warm, once with a cold page cache.

import Nephrite

/// What one process measured, in the harness's names.
private struct Reopening: Codable {
    var openMilliseconds: Double
    var getMilliseconds: Double
    var searchMilliseconds: Double
    var rssOpen: Int
    var anonymousOpen: Int
    var rssSearch: Int
    var anonymousSearch: Int

    enum CodingKeys: String, CodingKey {
        case openMilliseconds = "open_ms"
        case getMilliseconds = "get_ms"
        case searchMilliseconds = "search_ms"
        case rssOpen = "rss_mb_open"
        case anonymousOpen = "anon_mb_open"
        case rssSearch = "rss_mb_search"
        case anonymousSearch = "anon_mb_search"
    }

    var json: JSONValue {
        [
            "open_ms": .number(openMilliseconds), "get_ms": .number(getMilliseconds),
            "search_ms": .number(searchMilliseconds), "rss_mb_open": .integer(rssOpen),
            "anon_mb_open": .integer(anonymousOpen), "rss_mb_search": .integer(rssSearch),
            "anon_mb_search": .integer(anonymousSearch),
        ]
    }
}

/// Measures each opening in a process of its own, or is that process.
func runReopen(_ job: Job) async throws {
    if job.stage == "measure" { return try await measureReopening(job) }
    guard job.kind ?? "store" == "store" else { throw BenchError("reopen knows kind=store only") }
    let dataset = try Dataset(job.dataset)
    let path = try await dataset.keptStore(rows: job.rowCount(in: dataset))
    let arguments = try job.childArguments(.reopen, stage: "measure", path: path)
    var warm: [Reopening] = []
    for _ in 0..<3 { warm.append(try ChildProcess.result(arguments, as: Reopening.self)) }
    warm.sort { $0.searchMilliseconds < $1.searchMilliseconds }
    let cold = dropPageCache() ? try ChildProcess.result(arguments, as: Reopening.self) : nil
    try emitResult([
        "warm": warm[1].json, "cold": cold?.json ?? .null, "disk_bytes": .integer(diskByteCount(path)),
    ])
}

/// The child's part: all times count from the call to open.
private func measureReopening(_ job: Job) async throws {
    let dataset = try Dataset(job.dataset)
    let query = try dataset.queries().row(0)
    let id = Row.id(job.rowCount(in: dataset) / 2)
    guard let path = job.path else { throw BenchError("a child needs a path") }
    let resident = ProcessMemory.kilobytes("VmRSS")
    let anonymous = ProcessMemory.kilobytes("RssAnon")
    func grown(_ field: String, from before: Int) -> Int { (ProcessMemory.kilobytes(field) - before) / 1_024 }
    let start = nanoseconds()
    let result = try await withVectorStore(at: path, configuration: job.configuration) { store in
        let database = try await store.database(Dataset.databaseName)
        let opened = seconds(since: start)
        let rssOpen = grown("VmRSS", from: resident)
        let anonymousOpen = grown("RssAnon", from: anonymous)
        guard try await database.vector(for: id) != nil else { throw BenchError("\(id) is not in \(path)") }
        let got = seconds(since: start)
        _ = try await database.search(query, k: 10)
        return Reopening(
            openMilliseconds: opened * 1e3, getMilliseconds: got * 1e3,
            searchMilliseconds: seconds(since: start) * 1e3, rssOpen: rssOpen, anonymousOpen: anonymousOpen,
            rssSearch: grown("VmRSS", from: resident), anonymousSearch: grown("RssAnon", from: anonymous))
    }
    try emit(result.json)
}
