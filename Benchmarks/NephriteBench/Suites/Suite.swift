/// Our own suites: the list of them, what they are asked for, and what they hand back to be printed.

import Foundation
import Nephrite

/// A suite: a name and the function that measures.
struct Suite: Sendable {
    let name: String
    let summary: String
    let measure: @Sendable (SuiteOptions) async throws -> [Measurement]

    /// All suites in the order they run.
    static let all: [Suite] = [
        Suite(
            name: "single-commit", summary: "one durable upsert at a time / append + fdatasync of the same bytes",
            measure: measureSingleCommits),
        Suite(
            name: "group-commit", summary: "64 tasks with one durable upsert each / one task",
            measure: measureGroupCommits),
        Suite(
            name: "batches", summary: "durable batches / sequential write + fdatasync of the payload bytes",
            measure: measureBatches),
        Suite(
            name: "point-reads", summary: "random reads of a snapshot / Dictionary<String, Int> + array copy",
            measure: measurePointReads),
        Suite(
            name: "open", summary: "a new process opens a large database, and a store of 1,000 databases",
            measure: measureOpening),
        Suite(
            name: "recovery", summary: "log replayed after kill -9 / reading and checksumming the log files",
            measure: measureRecovery),
        Suite(
            name: "memory", summary: "anonymous bytes a record after opening / Dictionary<String, Int> of the ids",
            measure: measureMemory),
        Suite(
            name: "read-latency", summary: "point reads beside 4 writers and checkpoints / idle",
            measure: measureReadLatency),
        Suite(
            name: "scan", summary: "float32 search bytes a second / a plain load loop over the same bytes",
            measure: measureScan),
        Suite(
            name: "certified", summary: "exact search as it is made by default / comparing every record in float32",
            measure: measureCertified),
        Suite(
            name: "kernels", summary: "kernels in the cache / plain C, and over mapped rows / rows on the heap",
            measure: measureKernels),
        Suite(
            name: "search-latency", summary: "searches beside two durable writers / alone",
            measure: measureSearchLatency),
        Suite(
            name: "search-memory", summary: "memory of a process that searches the synthetic 768-d set",
            measure: measureSearchMemory),
    ]
}

/// What the command line asks of the suites.
struct SuiteOptions: Sendable {
    /// The suites to run.
    var suites: [Suite] = []
    /// Rows or operations, where a suite's own default is not wanted.
    var count: Int?
    /// Data sets to measure, where not all of a suite's are wanted.
    var datasets: [String] = []
    /// How often each measurement and its reference are taken; the median counts.
    var repeatCount = 3
    /// Microseconds that search threads look for their next scan.
    var spinMicroseconds = 0
    /// One JSON line a measurement instead of tables.
    var printsJSON = false
    /// Where stores are made; those that are dear to make are kept there.
    var directory = Dataset.root + "/dbs/suites"

    init(parsing arguments: [String]) throws {
        var rest = arguments[...]
        func value(of option: String) throws -> String {
            guard let value = rest.popFirst() else { throw UsageError("\(option) needs a value") }
            return value
        }
        func number(of option: String) throws -> Int {
            guard let number = Int(try value(of: option)), number > 0 else {
                throw UsageError("\(option) needs a positive number")
            }
            return number
        }
        while let word = rest.popFirst() {
            switch word {
            case "--n": count = try number(of: word)
            case "--repeat": repeatCount = try number(of: word)
            case "--set": datasets.append(try value(of: word))
            case "--spin": spinMicroseconds = try number(of: word)
            case "--json": printsJSON = true
            case "--dir": directory = try value(of: word)
            default:
                guard let suite = Suite.all.first(where: { $0.name == word }) else {
                    throw UsageError("unknown suite or option \(word)")
                }
                suites.append(suite)
            }
        }
        if suites.isEmpty { suites = Suite.all }
    }

    /// The store's configuration: defaults, with search threads that look for their next scan as long as was asked for.
    var configuration: StoreConfiguration {
        var configuration = StoreConfiguration()
        configuration.searchThreadSpin = .microseconds(spinMicroseconds)
        return configuration
    }

    /// A path below the directory, with nothing there yet.
    func freshPath(_ name: String) throws -> String {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let path = "\(directory)/tmp-\(name)"
        removeTree(path)
        return path
    }
}

/// Runs suites and prints each when it is done.
func runSuites(_ options: SuiteOptions) async throws {
    #if DEBUG
        printError("warning: a debug build; these figures mean nothing")
    #endif
    for suite in options.suites {
        let measurements = try await suite.measure(options)
        if options.printsJSON {
            for measurement in measurements { try emit(measurement.json(suite: suite.name)) }
        } else {
            print(table(of: measurements, titled: "\(suite.name): \(suite.summary)"))
        }
    }
}
