/// The error catalogue: every code that the engine can meet says what it means and what to do.
import Foundation
import Testing

@testable import StorageIO

@Suite struct FileSystemErrorTests {
    static let codes: [(code: Int32, name: String)] = [
        (EIO, "EIO"), (ENOSPC, "ENOSPC"), (EDQUOT, "EDQUOT"), (EINTR, "EINTR"), (EAGAIN, "EAGAIN"),
        (EMFILE, "EMFILE"), (ENOMEM, "ENOMEM"), (EACCES, "EACCES"), (EROFS, "EROFS"), (EFBIG, "EFBIG"),
        (EEXIST, "EEXIST"), (ENOENT, "ENOENT"), (ELOOP, "ELOOP"), (EPERM, "EPERM"), (EWOULDBLOCK, "EAGAIN"),
        (ENOTEMPTY, "ENOTEMPTY"), (EMLINK, "EMLINK"), (ENXIO, "ENXIO"), (EISDIR, "EISDIR"), (EBADF, "EBADF"),
        (ENFILE, "ENFILE"), (EOPNOTSUPP, "EOPNOTSUPP"), (EBUSY, "EBUSY"), (ESTALE, "ESTALE"), (ENOTDIR, "ENOTDIR"),
        (EINVAL, "EINVAL"), (ENAMETOOLONG, "ENAMETOOLONG"), (EXDEV, "EXDEV"),
    ]

    @Test("Every known code has its own sentences for every call", arguments: codes)
    func hasSentences(code: Int32, name: String) {
        let unknown = FileSystemError(code: 9_999, call: .read, path: "x")
        for call in SystemCall.allCases {
            let error = FileSystemError(code: code, call: call, path: "a/b", offset: 7)
            #expect(error.codeName == name)
            #expect(error.meaning.hasSuffix(".") && error.remedy.hasSuffix("."))
            #expect(error.remedy != unknown.remedy && !error.meaning.contains("errno"))
            let text = error.description
            for part in [call.rawValue, "a/b", "at offset 7", name, error.meaning, error.remedy] {
                #expect(text.contains(part))
            }
        }
    }

    @Test("Different codes mean different things")
    func meaningsDiffer() {
        let meanings = Set(Self.codes.map { FileSystemError(code: $0.code, call: .read, path: "x").meaning })
        #expect(meanings.count == Set(Self.codes.map(\.code)).count)
    }

    @Test("An unknown code is named by its number")
    func namesUnknownCodes() {
        let error = FileSystemError(code: 9_999, call: .rename, path: "x")
        #expect(error.description.contains("9999") && !error.description.contains("offset"))
    }

    @Test("A code means what its call makes of it")
    func dependsOnCall() {
        let sync = FileSystemError(code: EIO, call: .synchronizeData, path: "x")
        #expect(sync.remedy.contains("Do not retry"))
        #expect(sync.meaning != FileSystemError(code: EIO, call: .read, path: "x").meaning)
        #expect(FileSystemError(code: EWOULDBLOCK, call: .lock, path: "x").isLocked)
        #expect(!FileSystemError(code: EWOULDBLOCK, call: .read, path: "x").isLocked)
        #expect(!FileSystemError(code: EIO, call: .lock, path: "x").isLocked)
        for (call, code) in [(SystemCall.synchronizeDirectory, EINVAL), (.openRoot, ENOTDIR), (.map, ENODEV)] {
            let error = FileSystemError(code: code, call: call, path: "x")
            let other = FileSystemError(code: code, call: .read, path: "x")
            #expect(error.meaning != other.meaning && error.remedy != other.remedy)
        }
    }

    @Test("Codes are sorted into the questions the engine asks")
    func answersQuestions() {
        func codes(where test: (FileSystemError) -> Bool) -> Set<Int32> {
            Set((1..<200).filter { test(FileSystemError(code: $0, call: .open, path: "x")) })
        }
        #expect(codes(where: \.isOutOfSpace) == [ENOSPC, EDQUOT])
        #expect(codes(where: \.isNotFound) == [ENOENT])
        #expect(codes(where: \.isAlreadyExists) == [EEXIST])
        #expect(codes(where: \.isTooManyOpenFiles) == [EMFILE, ENFILE])
        #expect(codes(where: \.isReadOnly) == [EROFS])
        #expect(codes(where: \.isPermission) == [EACCES, EPERM])
        #expect(codes(where: \.isInterruption) == [EINTR])
    }
}
