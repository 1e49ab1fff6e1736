/// What the process ends with, and the one place where an error becomes a number: `CommandError` hands its
/// codes here and the entry point hands the result to `exit`.
import Foundation
import Nephrite

/// The exit codes, those of `sysexits.h` where it has one.
enum ExitCode: Int32, Sendable, CaseIterable {
    /// Done.
    case success = 0
    /// It did not work, or what was asked for is not there.
    case failure = 1
    /// The command line is wrong (`EX_USAGE`).
    case usage = 64
    /// Input or stored data is damaged or malformed (`EX_DATAERR`).
    case dataError = 65
    /// An input file, a store or a database is missing (`EX_NOINPUT`).
    case noInput = 66
    /// Something cannot be created (`EX_CANTCREAT`).
    case cannotCreate = 73
    /// Reading or writing failed (`EX_IOERR`).
    case inputOutput = 74
    /// The same command may work later (`EX_TEMPFAIL`).
    case temporaryFailure = 75
    /// Ended by Ctrl-C or SIGTERM.
    case interrupted = 130

    /// The exit code of a store error.
    init(_ code: StoreError.Code) {
        switch code {
        case .dimensionMismatch, .notFinite, .invalidID, .invalidMetadata, .duplicateID, .corruption, .newerFormat,
            .notAStore:
            self = .dataError
        case .invalidName, .invalidArgument, .invalidFilter:
            self = .usage
        case .databaseNotFound:
            self = .noInput
        case .databaseExists, .notWritable, .readOnly:
            self = .cannotCreate
        case .diskFull, .inputOutput, .outcomeUnknown, .fenced:
            self = .inputOutput
        case .locked, .tooManyOpenFiles, .tooManyThreads, .conflict:
            self = .temporaryFailure
        default:
            self = .failure
        }
    }

    /// The exit code of a store error; a path that leads to no directory is missing input, not failing I/O.
    init(_ error: StoreError) {
        let isPath = error.errorNumber.map { [ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG].contains($0) } ?? false
        self = error.code == .inputOutput && isPath ? .noInput : ExitCode(error.code)
    }

    /// The exit code of a system call that failed on an input file.
    init(inputErrorNumber errorNumber: Int32) {
        switch errorNumber {
        case ENOENT, ENOTDIR, EACCES, EPERM, EISDIR, ELOOP, ENAMETOOLONG:
            self = .noInput
        case EMFILE, ENFILE, EAGAIN:
            self = .temporaryFailure
        default:
            self = .inputOutput
        }
    }
}
