/// Seeded bugs, one of which a test-only build can switch on: `Tests/Mutants/run.sh` shows that the crash campaign catches
/// each of them. Nothing of this is in a build without `NEPHRITE_MUTANTS`.
#if NEPHRITE_MUTANTS
    #if canImport(Glibc)
        import Glibc
    #elseif canImport(Darwin)
        import Darwin
    #endif

    /// A bug that some store has had.
    @usableFromInline
    package enum Mutant: String, Sendable, CaseIterable {
        // Syncs that are left out or not believed (MutantFileSystem).
        case acknowledgeBeforeSync, retryFailedSync, skipTailSync, skipSegmentNameSync, skipCatalogueSync
        case skipCatalogueNameSync, skipDatabaseNameSync, skipNewFileSync, skipDataSync
        case swallowWriteError, trustShortWrite, trustNeverWritten, rollBackWithoutZeros
        // Checkpoints.
        case skipIndexSync, skipHeaderSync, writeActiveRegion, claimUnappliedCommits, checkpointBeforeLog, dropDirtyPage
        // Space.
        case reuseBeforeCheckpoint, reuseUnderSnapshot, growWithoutLog
        // The log.
        case publishBeforeSync, publishBeforeData, publishHalf, applyOutOfOrder, claimUnsynced, skipSealSync
        case neverFlush
        case deleteNeededSegments, ignorePreviousCheckpoint, deleteNewestFirst, keepOrphans
        // Judging writes.
        case ignoreExpectedVersion, ignoreConflict, compareHashes
        // Databases.
        case evictDirty, dropBeforeLog, cleanWithoutCheckpoint
        // Recovery and reading.
        case appendAfterTornTail, acceptIncompleteCommit, trustUnsyncedTail, skipPlacement, forgetDeletes
        case skipEndJudgement, skipPageChecks, skipRecordChecks, skipGenerationCheck

        private static let active: Mutant? = unsafe getenv("NEPHRITE_MUTANT").flatMap {
            unsafe Mutant(rawValue: String(cString: $0))
        }

        /// Whether the environment variable `NEPHRITE_MUTANT` names this one.
        @usableFromInline
        package static func isActive(_ mutant: Mutant) -> Bool { active == mutant }
    }
#endif
