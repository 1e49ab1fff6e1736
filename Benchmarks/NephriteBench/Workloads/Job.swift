/// A job of the peers' harness: read from the command line, handed to the workload that it names.

import Foundation
import Nephrite

/// What the harness asks for; fields that a workload does not need are absent.
struct Job: Codable, Sendable {
    var dataset: String
    var n: Int?
    var threads: Int?
    var batch: Int?
    var capSeconds: Double?
    var seconds: Double?
    var runs: Int?
    var kind: String?
    /// Bytes of vectors from which a batch is a bulk batch, where the default is not wanted.
    var bulk: Int?
    /// Rows that a writer inserts a second; as many as it can if absent.
    var writeRowsPerSecond: Int?
    /// What the store is told about writes beside searches, where the default is not wanted; 0 for no limit.
    var writeByteRate: Int?
    /// Which part of the workload a child of ours carries out.
    var stage: String?
    /// The store a child of ours works on.
    var path: String?

    enum CodingKeys: String, CodingKey {
        case dataset
        case n
        case threads
        case batch
        case capSeconds = "cap_s"
        case seconds
        case runs
        case kind
        case bulk
        case writeRowsPerSecond = "write_rows_s"
        case writeByteRate = "write_byte_rate"
        case stage
        case path
    }

    init(json: String) throws {
        do {
            self = try JSONDecoder().decode(Job.self, from: Data(json.utf8))
        } catch {
            throw UsageError("not a job: \(error)")
        }
    }

    /// Rows to work on: `n`, or fewer when the data set has fewer.
    func rowCount(in dataset: Dataset, default wanted: Int = 100_000) -> Int {
        min(n ?? wanted, dataset.base.count)
    }

    /// How many threads the cell may use.
    var threadCount: Int { max(1, threads ?? 1) }

    /// The store's configuration: defaults, with as many search threads as the cell has.
    var configuration: StoreConfiguration {
        var configuration = StoreConfiguration()
        configuration.searchThreadCount = threadCount
        if let bulk { configuration.bulkByteThreshold = bulk }
        if let writeByteRate { configuration.writeByteRateBesideSearches = writeByteRate == 0 ? .max : writeByteRate }
        return configuration
    }

    /// The same job for a child of ours.
    func childArguments(_ workload: Workload, stage: String, path: String) throws -> [String] {
        var job = self
        job.stage = stage
        job.path = path
        return [workload.rawValue, String(decoding: try JSONEncoder().encode(job), as: UTF8.self)]
    }
}

/// The harness workloads that we answer.
enum Workload: String, CaseIterable {
    case durableInsert = "durable_insert"
    case getByID = "get_by_id"
    case exactSearch = "exact_search"
    case reopen
    case filtered
    case mixed
    case kill9
    case churn

    /// Carries out a job and prints its result lines.
    func run(_ job: Job) async throws {
        switch self {
        case .durableInsert: try await runDurableInsert(job)
        case .getByID: try await runGetByID(job)
        case .exactSearch: try await runExactSearch(job)
        case .reopen: try await runReopen(job)
        case .filtered: try await runFiltered(job)
        case .mixed: try await runMixed(job)
        case .kill9: try await runKill9(job)
        case .churn: try await runChurn(job)
        }
    }
}
