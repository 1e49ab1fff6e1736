/// `memory`: anonymous memory that an open database takes for each record, against a dictionary of the same ids.

/// Measures each in new processes, whose memory has held nothing else.
func measureMemory(_ options: SuiteOptions) async throws -> [Measurement] {
    let rows = options.count ?? 1_000_000
    let prepared = try await PreparedStore(options, rows: rows, dimension: 128)
    var measurement = Measurement(
        label: "\(rows) records open and read / Dictionary", unit: "bytes/record", goal: .valueAtMost(100))
    for _ in 0..<options.repeatCount {
        let opened = try ProbeRequest(kind: .open, path: prepared.path, rows: rows).run()
        let dictionary = try ProbeRequest(kind: .dictionary, rows: rows).run()
        measurement.ours.append(Double(opened.anonymousKilobytes * 1_024) / Double(rows))
        measurement.reference.append(Double(dictionary.anonymousKilobytes * 1_024) / Double(rows))
    }
    return [measurement]
}
