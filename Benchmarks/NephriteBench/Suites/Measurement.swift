/// One row of a suite's table: our samples, the reference's, the goal, and how they are printed.

import Foundation

/// What a measurement should reach.
enum Goal: Sendable {
    case none
    case ratioAtMost(Double)
    case ratioAtLeast(Double)
    case valueAtMost(Double)
    case valueAtLeast(Double)
}

/// Samples of ours and of the reference, one of each a repetition.
struct Measurement: Sendable {
    let label: String
    let unit: String
    var ours: [Double] = []
    var reference: [Double] = []
    var goal = Goal.none

    /// The median of our samples.
    var value: Double { median(ours) }

    /// The median of the reference's samples.
    var referenceValue: Double? { reference.isEmpty ? nil : median(reference) }

    /// Ours to the reference: medians, never single samples, are divided.
    var ratio: Double? { referenceValue.map { value / $0 } }

    /// Whether the goal is met; nil without one.
    var isReached: Bool? {
        switch goal {
        case .none: nil
        case .ratioAtMost(let limit): ratio.map { $0 <= limit }
        case .ratioAtLeast(let limit): ratio.map { $0 >= limit }
        case .valueAtMost(let limit): value <= limit
        case .valueAtLeast(let limit): value >= limit
        }
    }

    fileprivate var goalText: String {
        switch goal {
        case .none: ""
        case .ratioAtMost(let limit): "≤ \(format(limit)) ×"
        case .ratioAtLeast(let limit): "≥ \(format(limit)) ×"
        case .valueAtMost(let limit): "≤ \(format(limit)) \(unit)"
        case .valueAtLeast(let limit): "≥ \(format(limit)) \(unit)"
        }
    }

    /// The measurement for machines.
    func json(suite: String) -> JSONValue {
        [
            "suite": .string(suite), "label": .string(label), "unit": .string(unit), "ours": .number(value),
            "ours_min": .number(ours.min() ?? .nan), "ours_max": .number(ours.max() ?? .nan),
            "reference": referenceValue.map { .number($0) } ?? .null, "ratio": ratio.map { .number($0) } ?? .null,
            "goal": .string(goalText), "reached": isReached.map { .bool($0) } ?? .null,
        ]
    }
}

/// Three significant digits, or whole numbers with separators from a thousand on.
private func format(_ value: Double) -> String {
    guard value.isFinite else { return "–" }
    if abs(value) >= 1_000 {
        let digits = String(Int(value.rounded()))
        var grouped = ""
        for (index, digit) in digits.enumerated() {
            let left = digits.count - index
            if index > 0 && left % 3 == 0 && grouped.last != "-" { grouped.append(",") }
            grouped.append(digit)
        }
        return grouped
    }
    let decimals = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : abs(value) >= 1 ? 2 : 3
    let scale = [1.0, 10, 100, 1_000][decimals]
    let rounded = (value * scale).rounded() / scale
    return rounded == rounded.rounded() ? String(Int(rounded)) : String(rounded)
}

/// A table with one line a measurement.
func table(of measurements: [Measurement], titled title: String) -> String {
    let header = ["", "ours", "(min … max)", "reference", "unit", "ratio", "goal", ""]
    let rows = measurements.map { measurement in
        [
            measurement.label, format(measurement.value),
            "\(format(measurement.ours.min() ?? .nan)) … \(format(measurement.ours.max() ?? .nan))",
            measurement.referenceValue.map(format) ?? "", measurement.unit,
            measurement.ratio.map { format($0) + " ×" } ?? "", measurement.goalText,
            measurement.isReached.map { $0 ? "reached" : "MISSED" } ?? "",
        ]
    }
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    let lines = ([header] + rows).map { row in
        row.indices.map { column in
            let padding = String(repeating: " ", count: widths[column] - row[column].count)
            return column == 0 || column > 5 || column == 4 ? row[column] + padding : padding + row[column]
        }.joined(separator: "  ")
    }
    return "\n" + ([title] + lines).joined(separator: "\n")
}
