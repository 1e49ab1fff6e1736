/// Results as JSON: workloads and suites build values, and ``emit(_:)`` writes one of them a line to standard output.

import Foundation

/// A JSON value to be written.
enum JSONValue: Encodable, Sendable, ExpressibleByDictionaryLiteral {
    case null
    case integer(Int)
    case number(Double)
    case string(String)
    case bool(Bool)
    case array([JSONValue])
    case object([String: JSONValue])

    init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .integer(let value): try container.encode(value)
        case .number(let value): value.isFinite ? try container.encode(value) : try container.encodeNil()
        case .string(let value): try container.encode(value)
        case .bool(let value): try container.encode(value)
        case .array(let values): try container.encode(values)
        case .object(let value): try container.encode(value)
        }
    }
}

/// Writes a value as one line to standard output, at once.
func emit(_ value: JSONValue) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    var line = try encoder.encode(value)
    line.append(0x0A)
    try FileHandle.standardOutput.write(contentsOf: line)
}

/// Writes a result line of the peers' harness: metrics, the version, the peak memory, and what the job changes to.
///
/// The harness takes the lines that begin with `{"` and hold `"metrics"`; the version is `$NEPHRITE_VERSION`.
func emitResult(_ metrics: JSONValue, changing job: JSONValue? = nil) throws {
    var line: [String: JSONValue] = [
        "metrics": metrics,
        "version": .string(ProcessInfo.processInfo.environment["NEPHRITE_VERSION"] ?? "dev"),
        "peak_rss_mb": .integer(ProcessMemory.kilobytes("VmHWM") / 1_024),
    ]
    if let job { line["job"] = job }
    try emit(.object(line))
}
