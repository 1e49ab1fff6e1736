/// What a search did, in numbers: ``DatabaseSnapshot/explain(_:k:options:)`` makes it for people and tests to look at.
import CNephrite

/// How a search came to its answer.
public struct SearchExplanation: Sendable, CustomStringConvertible {
    /// A step of the search, which leaves fewer records to the next.
    public struct Stage: Sendable, Hashable {
        /// What it did, in a few words.
        public let name: String
        /// Records it looked at.
        public let records: Int
        /// Bytes of vectors or codes that it read.
        public let bytes: Int
        /// The time it took, summed over the threads. What records without a code took is in the first stage.
        public let nanoseconds: UInt64
    }

    /// How the filter was applied.
    public struct FilterUse: Sendable, Hashable {
        /// "all" or "none" where that was known; "list" or "bitmap" of the records that it holds for; "nearest" where it was
        /// asked only about records that would be among the nearest.
        public let plan: String
        /// How many records it left to the stages.
        public let records: Int
        /// The time it took to find out which.
        public let nanoseconds: UInt64
    }

    /// How the filter was applied; nil without one.
    public let filter: FilterUse?
    /// "codes" or "scan".
    public let plan: String
    /// Threads that took part.
    public let threads: Int
    /// The stages in order.
    public let stages: [Stage]
    /// What was found.
    public let hits: [SearchHit]

    init(_ snapshot: DatabaseSnapshot, _ request: SearchRequest, _ answer: SearchAnswer, isFiltered: Bool) {
        filter =
            isFiltered
            ? FilterUse(
                plan: request.rows.name, records: request.rows.rowCount(in: snapshot), nanoseconds: request.resolveTime)
            : nil
        let counts = answer.counts
        let vectorByteCount = snapshot.identity.vectorByteCount
        let codeByteCount = (snapshot.options.dimension + 31) / 32 * 16 + 16
        plan = answer.usedCodes ? "codes" : "scan"
        threads = answer.threadCount
        hits = answer.rows[0].map(snapshot.hit)
        var stages: [Stage] = []
        if answer.usedCodes {
            if counts.estimated > 0 {
                stages.append(
                    Stage(
                        name: "estimated by signs", records: counts.estimated,
                        bytes: counts.estimated * nephrite_code_sign_stride(snapshot.options.dimension),
                        nanoseconds: counts.scanTime))
            }
            stages.append(
                Stage(
                    name: "bounded by 4 bits", records: counts.bounded, bytes: counts.bounded * codeByteCount,
                    nanoseconds: counts.estimated > 0 ? counts.refineTime : counts.scanTime))
            // An approximate search compares what it bounded by the high plane.
            if request.mode == .exact || counts.refined > 0 {
                stages.append(
                    Stage(
                        name: "bounded by 8 bits", records: counts.refined, bytes: counts.refined * codeByteCount,
                        nanoseconds: counts.estimated > 0 ? 0 : counts.refineTime))
            }
            stages.append(
                Stage(
                    name: "compared", records: counts.compared, bytes: counts.compared * vectorByteCount,
                    nanoseconds: counts.compareTime))
        }
        stages.append(
            Stage(
                name: answer.usedCodes ? "without a code" : "compared", records: counts.direct,
                bytes: counts.direct * vectorByteCount, nanoseconds: answer.usedCodes ? 0 : counts.scanTime))
        self.stages = stages
    }

    /// A line for the plan, one for the filter, and one for each stage.
    public var description: String {
        (["plan \(plan), \(threads) thread\(threads == 1 ? "" : "s")"]
            + (filter.map { ["filter \($0.plan): \($0.records) records, \($0.nanoseconds / 1_000) µs"] } ?? [])
            + stages.map { "\($0.name): \($0.records) records, \($0.bytes) bytes, \($0.nanoseconds / 1_000) µs" })
            .joined(separator: "\n")
    }
}

extension FilterPlan {
    /// Its name in explanations.
    fileprivate var name: String {
        switch self {
        case .all: "all"
        case .none: "none"
        case .slots: "bitmap"
        case .list: "list"
        case .predicate: "nearest"
        }
    }
}
