/// What readers of random workloads do: take snapshots, look again after others have written, and note what they saw, so
/// that the oracle can tell whether a crash took it back.
import Nephrite

extension RandomWorkload {
    /// The body of one reader.
    func reader(_ number: Int, steps: Int) async {
        var newest: [String: UInt64] = [:]
        for step in 0..<steps {
            var generator = generator(1_000 + number, step)
            let name = RandomWorkload.databases[generator.next(below: 3)]
            do {
                if generator.next(below: 3) == 0 { try await checkPairs() }
                let snapshot = try await store.database(name).snapshot()
                if snapshot.version < newest[name] ?? 0 {
                    note("a reader of \(name) went back from \(newest[name]!) to \(snapshot.version)")
                }
                newest[name] = snapshot.version
                let before = try look(snapshot, name)
                if generator.next(below: 3) == 0, let clock {
                    try? await clock.sleep(nanoseconds: 1_000_000 * UInt64(1 + generator.next(below: 40)))
                } else {
                    for _ in 0..<generator.next(below: 8) { await Task.yield() }
                }
                if try look(snapshot, name) != before { note("a snapshot of \(name) changed under a reader") }
            } catch let error as StoreError where error.code == .conflict {
                // A database that was opened after the transaction had begun.
            } catch let error as StoreError {
                noteFailure(error, of: "reader \(number)")
            } catch {
                note("reader \(number): untyped: \(error)")
            }
        }
    }

    /// Reads a snapshot whole and notes the values of a durable database.
    private func look(_ snapshot: DatabaseSnapshot, _ name: String) throws -> [String: UInt64] {
        var versions: [String: UInt64] = [:]
        var seen: [(number: Int, version: UInt64)] = []
        for result in snapshot.records() {
            let record: VectorRecord
            do {
                record = try result.get()
            } catch {
                if !acceptsDamage { throw error }
                continue
            }
            versions[record.id] = record.version
            guard let number = Values.model(of: record).0 else {
                note("\(name)/\(record.id) holds what nobody wrote")
                continue
            }
            if record.version > snapshot.version { note("\(name)/\(record.id) is newer than its snapshot") }
            if number >= 1_000 { seen.append((number, record.version)) }
        }
        if !acceptsDamage, versions.count != snapshot.count {
            note("\(name) counts \(snapshot.count), a reader found \(versions.count)")
        }
        let found = seen
        run.update { run in
            run.readCount += 1
            guard name != "r" else { return }
            for (number, version) in found { run.events.append(.observed(number: number, version: version)) }
        }
        return versions
    }
}
