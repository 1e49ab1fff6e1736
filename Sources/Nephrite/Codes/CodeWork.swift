/// The work on a code file: which pages are still to be encoded, and how far the file can be believed. The code store
/// keeps it behind its work lock.
import StorageFormat
import StorageIO

struct CodeWork {
    /// A step ends after so much time, or so many pages of 128 records where the clock stands still.
    static let stepNanoseconds: UInt64 = 700_000
    static let stepPageCount = 64
    /// Written codes are synced after so many bytes, so that a stamp has little left to sync.
    static let syncByteCount = 32 << 20
    /// Bytes after which a stamp is worth its syncs while there is more to encode.
    static let stampByteCount = 128 << 20

    var file: CodeFile
    /// Pages that hold records without a code, or that were not looked at yet.
    var pages = PageMarks()
    private(set) var unstampedByteCount = 0
    private let encoder: RowEncoder
    private let verifier: CodeVerifier
    /// Codes in the file that did not match their checksums and were made anew.
    private(set) var mendedCount = 0
    /// What the file said when it was opened: records up to this commit in slots below the count have a code.
    private let claimedLSN: UInt64
    private let claimedSlotCount: Int
    /// Pages below it were looked at since the file was opened, so that the claim is in their bits.
    private var visitedPageCount = 0
    private let claimedPageCount: Int
    /// Slots below it have been gone through; those without a code were stored after that.
    private var frontier: Int
    private var unsyncedByteCount = 0

    /// All pages are looked at, lowest first: the file's claim turns into bits, and the rest is encoded.
    init(file: CodeFile, snapshot: DatabaseSnapshot) {
        self.file = file
        encoder = RowEncoder(file.codec)
        verifier = CodeVerifier(file.file, file.header)
        claimedLSN = file.header.codedThroughLSN
        claimedSlotCount = min(Int(file.header.codedSlotCount), file.slotCapacity)
        let pageCount = snapshot.records.pageCount
        claimedPageCount = min(
            (claimedSlotCount + RecordTable.entriesPerPage - 1) / RecordTable.entriesPerPage, pageCount)
        frontier = claimedSlotCount
        pages.insert(below: pageCount)
    }

    /// Encodes the records of a page that have no code.
    ///
    /// - Parameter snapshot: held by the caller until this returns: no slot that is live in it is handed out before.
    /// - Returns: whether anything was written.
    mutating func encode(
        _ page: Int, of snapshot: DatabaseSnapshot, coded: [CodedSlots]
    ) throws(FileSystemError) -> Bool {
        let missing = try adopt(page, of: snapshot, coded: coded)
        guard !missing.isEmpty else { return false }
        let file = file
        let encoder = encoder
        try missing.forEachRun { (run) throws(FileSystemError) in
            let slot = page * RecordTable.entriesPerPage + run.lowerBound
            try unsafe encoder.withCodes(
                of: snapshot.vectorAddress(UInt32(slot)), stride: snapshot.identity.stride, count: run.count
            ) { (codes) throws(FileSystemError) in
                let checksums = unsafe snapshot.codeChecksums(ofSlot: slot, count: run.count, codes)
                try unsafe file.write(slot: slot, codes, checksums: checksums)
            }
        }
        coded.insert(missing, page: page)
        let byteCount = missing.count * (file.codec.highStride + file.codec.lowStride + file.codec.signStride)
        unstampedByteCount += byteCount
        unsyncedByteCount += byteCount
        if unsyncedByteCount >= Self.syncByteCount {
            try file.file.synchronizeData()
            unsyncedByteCount = 0
        }
        return true
    }

    /// Takes over what the file has of the codes of a page, the first time it is looked at: what it claims to have, and has by
    /// the checksums.
    ///
    /// - Returns: the page's records without a code.
    mutating func adopt(
        _ page: Int, of snapshot: DatabaseSnapshot, coded: [CodedSlots]
    ) throws(FileSystemError) -> PageBits {
        let missing = snapshot.records.liveBits(ofPage: page).subtracting(coded.bits(ofPage: page))
        guard page >= visitedPageCount else { return missing }
        let claimed = claimed(missing, page: page, snapshot)
        let wrong = try verifier.mismatches(claimed, ofPage: page, snapshot)
        mendedCount += wrong.count
        let right = claimed.subtracting(wrong)
        if !right.isEmpty { coded.insert(right, page: page) }
        visitedPageCount = page + 1
        return missing.subtracting(right)
    }

    /// The same for whoever cannot make codes anew: those that cannot be read are left out, and the others are not given up.
    mutating func adoptReadable(_ page: Int, of snapshot: DatabaseSnapshot, coded: [CodedSlots]) {
        _ = try? adopt(page, of: snapshot, coded: coded)
        visitedPageCount = max(visitedPageCount, page + 1)
    }

    /// Which of a page's live slots the file has the code of. A slot that was used again since the stamp holds a record of
    /// a later commit.
    private func claimed(_ live: PageBits, page: Int, _ snapshot: DatabaseSnapshot) -> PageBits {
        let first = page * RecordTable.entriesPerPage
        guard first < claimedSlotCount else { return .none }
        var claimed = PageBits.none
        live.prefix(claimedSlotCount - first).forEach { index in
            if snapshot.records[first + index].lsn <= claimedLSN { claimed.insert(index) }
        }
        return claimed
    }

    /// Moves the frontier behind what has been gone through.
    mutating func noteFrontier(_ snapshot: DatabaseSnapshot) {
        let end = pages.first.map { $0 * RecordTable.entriesPerPage } ?? snapshot.records.slotCount
        frontier = max(frontier, end)
    }

    /// Syncs the codes and writes what is true of them: up to which commit every record below the frontier has a code.
    ///
    /// - Returns: whether it could be said; not before the file's earlier claim has been turned into bits.
    mutating func stamp(asOf snapshot: DatabaseSnapshot, coded: [CodedSlots]) throws(FileSystemError) -> Bool {
        guard visitedPageCount >= claimedPageCount else { return false }
        let slotCount = min(frontier, snapshot.records.slotCount, file.slotCapacity)
        var through = snapshot.version
        for page in 0..<(slotCount + RecordTable.entriesPerPage - 1) / RecordTable.entriesPerPage {
            let first = page * RecordTable.entriesPerPage
            let live = snapshot.records.liveBits(ofPage: page).prefix(slotCount - first)
            live.subtracting(coded.bits(ofPage: page)).forEach { index in
                through = min(through, snapshot.records[first + index].lsn - 1)
            }
        }
        try file.stamp(through: through, slotCount: slotCount)
        unstampedByteCount = 0
        unsyncedByteCount = 0
        return true
    }
}

extension DatabaseSnapshot {
    /// The checksums of the codes of records at slots that follow one another.
    func codeChecksums(
        ofSlot slot: Int, count: Int, _ codes: EncodedRows
    ) -> [UInt32] {
        func rowBytes(_ row: Int, of plane: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
            let stride = plane.count / count
            return unsafe UnsafeRawBufferPointer(rebasing: plane[row * stride..<(row + 1) * stride])
        }
        return (0..<count).map { row in
            unsafe identity.salt.codeRowChecksum(
                slot: UInt64(slot + row), tag: records[slot + row].tag,
                high: rowBytes(row, of: codes.high), low: rowBytes(row, of: codes.low),
                signs: rowBytes(row, of: codes.signs))
        }
    }

    /// The mean of about `rowCount` rows that are spread over all of them, or a few more.
    func sampleMean(rowCount: Int) -> [Float] {
        let dimension = identity.options.dimension
        let step = max(1, count / rowCount)
        var sums = [Double](repeating: 0, count: dimension)
        var sampled = 0
        var seen = 0
        for page in 0..<records.pageCount {
            let activeCount = records.pages.page(page).activeCount
            let next = (seen + step - 1) / step * step
            if next < seen + activeCount {
                var rank = seen
                records.liveBits(ofPage: page).forEach { index in
                    if rank % step == 0 {
                        add(UInt32(page * RecordTable.entriesPerPage + index), to: &sums)
                        sampled += 1
                    }
                    rank += 1
                }
            }
            seen += activeCount
        }
        return sampled == 0 ? [] : sums.map { Float($0 / Double(sampled)) }
    }

    private func add(_ slot: UInt32, to sums: inout [Double]) {
        let vector = unsafe vectorAddress(slot)
        for component in sums.indices {
            sums[component] += unsafe Double(vector.load(fromByteOffset: component * 4, as: Float.self))
        }
    }
}
