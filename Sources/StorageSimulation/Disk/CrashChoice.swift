/// Which of the pending effects survive a crash: tests hand a choice to ``SimulatedFileSystem/crashImage(_:)``.
public enum CrashChoice: Sendable, Hashable {
    /// Nothing that was not synced survives.
    case loseAll
    /// Everything survives that may.
    case keepAll
    /// The first operations survive.
    case keepPrefix(Int)
    /// All operations survive but one.
    case dropOne(Int)
    /// One operation survives.
    case keepOnly(Int)
    /// Any subset survives; writes are torn at sector boundaries; sizes, data and names independently.
    case random(seed: UInt64)
    /// All operations survive, but of write `operation` only the sectors whose bits are set (sector k has bit
    /// k mod 64).
    case torn(operation: Int, sectors: UInt64)
    /// The operations before `operation` survive, and the first sectors of it.
    case cut(operation: Int, sectorCount: Int)

    /// Every choice that is not random: each prefix, each operation lost, each operation alone, each small write
    /// torn in every way, each larger one cut at every sector (RELIABILITY T1).
    ///
    /// - Parameter exhaustiveSectorCount: writes up to this many sectors are torn in all ways.
    public static func enumerate(_ operations: [PendingOperation], exhaustiveSectorCount: Int = 4) -> [CrashChoice] {
        var choices: [CrashChoice] = [.loseAll]
        guard !operations.isEmpty else { return choices }
        choices.append(.keepAll)
        for index in operations.indices {
            if index > 0 {
                choices.append(.keepPrefix(index))
                choices.append(.dropOne(index - 1))
                choices.append(.keepOnly(index))
            }
            guard case .sectors(let count) = operations[index].kind, count > 1 else { continue }
            if count <= min(exhaustiveSectorCount, 16) {
                for mask in 1..<((UInt64(1) << UInt64(count)) - 1) {
                    choices.append(.torn(operation: index, sectors: mask))
                }
            } else {
                for sectors in 1..<count { choices.append(.cut(operation: index, sectorCount: sectors)) }
            }
        }
        return choices
    }
}

extension CrashChoice {
    /// What survives of one operation; `nil` for nothing.
    func selection(for index: Int, in operation: PendingOperation) -> SectorSelection? {
        switch self {
        case .loseAll: nil
        case .keepAll: .all
        case .keepPrefix(let count): index < count ? .all : nil
        case .dropOne(let dropped): index == dropped ? nil : .all
        case .keepOnly(let kept): index == kept ? .all : nil
        case .torn(let torn, let sectors): index == torn ? .mask(sectors) : .all
        case .cut(let cut, let sectorCount): index < cut ? .all : index == cut ? .first(sectorCount) : nil
        case .random(let seed): CrashChoice.randomSelection(seed: seed, index: index, operation: operation)
        }
    }

    private static func randomSelection(seed: UInt64, index: Int, operation: PendingOperation) -> SectorSelection? {
        let bits = SplitMix64.mix(SplitMix64.mix(seed) &+ UInt64(index) &* 0xD6E8_FEB8_6659_FD93)
        guard case .sectors(let count) = operation.kind else { return bits & 1 == 1 ? .all : nil }
        switch bits % 4 {
        case 0: return nil
        case 1: return .all
        case 2: return .random(bits)
        default: return .first(Int(bits >> 8) % (count + 1))
        }
    }
}
