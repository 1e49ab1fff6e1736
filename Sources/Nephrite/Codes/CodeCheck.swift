/// Checks codes: encodes every vector of a snapshot that has a code again and compares the bytes. The integrity check of
/// a database runs it on an I/O thread.
import StorageFormat
import StorageIO

struct CodeCheck {
    let snapshot: DatabaseSnapshot

    /// Slots whose code is not that of their vector.
    func wrongSlots() -> [UInt32] {
        guard let view = snapshot.codeStore.currentView else { return [] }
        let encoder = RowEncoder(view.codec)
        var wrong: [UInt32] = []
        for page in 0..<snapshot.records.pageCount {
            let first = page * RecordTable.entriesPerPage
            snapshot.codedBits(ofPage: page, view).forEach { index in
                let slot = UInt32(first + index)
                if !isRight(slot, view, encoder) { wrong.append(slot) }
            }
        }
        return wrong
    }

    private func isRight(_ slot: UInt32, _ view: CodeView, _ encoder: RowEncoder) -> Bool {
        let (chunk, row) = Int(slot).quotientAndRemainder(dividingBy: view.chunkSlotCount)
        return unsafe encoder.withCodes(
            of: snapshot.vectorAddress(slot), stride: snapshot.identity.stride, count: 1
        ) { codes in
            func isStored(_ code: UnsafeRawBufferPointer, at rows: UnsafeRawPointer) -> Bool {
                let stored = unsafe UnsafeRawBufferPointer(start: rows + row * code.count, count: code.count)
                return unsafe stored.elementsEqual(code)
            }
            return unsafe isStored(codes.high, at: view.highRows(chunk: chunk))
                && isStored(codes.low, at: view.lowRows(chunk: chunk))
                && isStored(codes.signs, at: view.signRows(chunk: chunk))
        }
    }

    /// Reports wrong codes and has them made anew.
    func run(_ report: inout DatabaseIntegrity) {
        let wrong = wrongSlots()
        guard !wrong.isEmpty else { return }
        snapshot.codeStore.discard(wrong)
        report.damages.append(
            Damage(
                kind: "codes",
                message: "The codes of \(wrong.count) records are not those of their vectors; they are made anew.",
                path: CodeFile.path(snapshot.identity).description, offset: nil,
                ids: wrong.prefix(100).map { snapshot.id(of: snapshot.records[Int($0)]) }))
    }
}

extension DatabaseSnapshot {
    /// Which live records of a page have a code.
    func codedBits(ofPage page: Int, _ view: CodeView) -> PageBits {
        records.liveBits(ofPage: page).intersection(
            PageBits(low: view.codedWord(page * 2), high: view.codedWord(page * 2 + 1)))
    }

    /// How many records have a code in a file that is not in use.
    func codedCount(by header: CodeFileHeader) -> Int {
        var codedCount = 0
        records.forEachActive { slot, entry in
            if entry.lsn <= header.codedThroughLSN, slot < header.codedSlotCount { codedCount += 1 }
        }
        return codedCount
    }

    /// How many records have a code.
    func codedCount() -> Int {
        guard let view = codeStore.currentView else { return 0 }
        return (0..<records.pageCount).reduce(0) { $0 + codedBits(ofPage: $1, view).count }
    }
}
