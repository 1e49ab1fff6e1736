/// Checks codes: compares their bytes with those of encoding every vector again, and with their checksums in the file. The
/// integrity check of a database runs it on an I/O thread.
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

    /// Slots whose codes, which the file is to be believed about, do not match their checksums there.
    private func mismatches() -> [UInt32] {
        let store = snapshot.codeStore
        guard let file = try? store.context.fileSystem.open(CodeFile.path(snapshot.identity), .read) else { return [] }
        defer { try? file.close() }
        guard let header = CodeFile.believableHeader(of: file, snapshot.identity, checkpointLSN: snapshot.version)
        else {
            return []
        }
        // A store that is only read uses none that are wrong: what it has left out is to be known all the same.
        let view = store.context.configuration.access == .readOnly ? nil : store.currentView
        let verifier = CodeVerifier(file, header)
        var wrong: [UInt32] = []
        for page in 0..<snapshot.records.pageCount {
            let rows =
                if let view { snapshot.codedBits(ofPage: page, view) } else {
                    snapshot.claimedBits(ofPage: page, by: header)
                }
            // What cannot be read is not right either.
            let found = (try? verifier.mismatches(rows, ofPage: page, snapshot)) ?? rows
            found.forEach { wrong.append(UInt32(page * RecordTable.entriesPerPage + $0)) }
        }
        return wrong
    }

    /// Reports wrong codes and has them made anew: at once, or when the file is next used by a store that may write.
    func run(_ report: inout DatabaseIntegrity) {
        let store = snapshot.codeStore
        // Switched off or given up: nobody reads the file.
        guard [.idle, .requested, .open, .settled, .full].contains(store.phase) else { return }
        let wrong = Set(wrongSlots()).union(mismatches()).sorted()
        guard !wrong.isEmpty else { return }
        if store.currentView != nil { store.discard(wrong) }
        let remedy =
            store.context.configuration.access == .readOnly
            ? "they are not used, and made anew where the store is opened for writing" : "they are made anew"
        report.damages.append(
            Damage(
                kind: "codes",
                message: "The codes of \(wrong.count) records are not those of their vectors; \(remedy).",
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

    /// Which live records of a page have a code by what a file says that is not in use.
    func claimedBits(ofPage page: Int, by header: CodeFileHeader) -> PageBits {
        let first = page * RecordTable.entriesPerPage
        var claimed = PageBits.none
        records.liveBits(ofPage: page).prefix(Int(header.codedSlotCount) - first).forEach { index in
            if records[first + index].lsn <= header.codedThroughLSN { claimed.insert(index) }
        }
        return claimed
    }

    /// How many records have a code in a file that is not in use.
    func codedCount(by header: CodeFileHeader) -> Int {
        (0..<records.pageCount).reduce(0) { $0 + claimedBits(ofPage: $1, by: header).count }
    }

    /// How many records have a code.
    func codedCount() -> Int {
        guard let view = codeStore.currentView else { return 0 }
        return (0..<records.pageCount).reduce(0) { $0 + codedBits(ofPage: $1, view).count }
    }
}
