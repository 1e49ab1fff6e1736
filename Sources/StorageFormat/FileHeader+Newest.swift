/// Which of a file's header pages to believe: opening a database hands in the first 16 KiB and goes on with the newest
/// valid generation.
extension FileHeader {
    /// The newest valid header, the older valid generation if there is one, and the pages that hold neither a valid
    /// header nor only zeros (a page of zeros was never written).
    ///
    /// - Throws: `newerVersion` if any page was written by a release that forbids this one to read the file, even if
    ///   an older generation could be read (going on from it would undo the newer release's work). Else, if no page is
    ///   valid: `truncated`, `badMagic` or the reason why the best page was refused.
    package static func newest(
        pages: UnsafeRawBufferPointer, fileSize: UInt64
    ) throws(FormatError) -> (header: FileHeader, alternatives: [FileHeader], damagedPages: [Int]) {
        var found: [FileHeader] = []
        var damagedPages: [Int] = []
        var failures: [FormatError] = []
        for pageIndex in 0..<pageCount {
            let start = min(pageIndex * byteCount, pages.count)
            let end = min(start + byteCount, pages.count)
            let page = unsafe UnsafeRawBufferPointer(rebasing: pages[start..<end])
            if unsafe page.count == byteCount && isAllZero(page) { continue }
            do throws(FormatError) {
                let header = try unsafe decode(page, pageIndex: pageIndex)
                guard firstPage(generation: header.generation) == pageIndex & ~1 else {
                    throw error(.invalidValue, at: 48)
                }
                try header.validate(fileSize: fileSize)
                if !found.contains(where: { $0.generation == header.generation }) { found.append(header) }
            } catch {
                damagedPages.append(pageIndex)
                failures.append(error)
            }
        }
        if let newer = failures.first(where: { $0.rank == 0 }) { throw newer }
        found.sort { $0.generation > $1.generation }
        guard let header = found.first else {
            throw failures.min { $0.rank < $1.rank } ?? error(.badMagic, at: 0)
        }
        return (header, Array(found.dropFirst()), damagedPages)
    }
}

extension FormatError {
    /// How much a refusal says about a page, most first: one that got past the checksum says more than one that did
    /// not even have the magic number.
    fileprivate var rank: Int {
        switch kind {
        case .newerVersion: 0
        case .wrongEndianness: 1
        case .outOfBounds, .invalidValue: 2
        case .checksumMismatch: 3
        case .truncated: 4
        case .badMagic: 5
        }
    }
}
