/// File descriptors that libdispatch and Foundation take without being able to fail: the entry point and `demo` ask here
/// first, and end with a message where those would trap.
import Foundation

enum Descriptors {
    /// Takes the numbers of standard input, output and error where they are free, so that nothing that is opened later is
    /// read from or printed into. What is read or written there fails as if they were free.
    static func occupyStandard() {
        for number in 0...2 as ClosedRange<Int32> where fcntl(number, F_GETFD) < 0 {
            // The lowest number that is free.
            _ = unsafe open("/dev/null", number == 0 ? O_WRONLY : O_RDONLY)
        }
    }

    /// Makes sure that as many descriptors as `count` can be opened now.
    ///
    /// - Throws: `tooManyOpenFiles`, exit code 75.
    static func requireFree(_ count: Int) throws(CommandError) {
        var opened: [Int32] = []
        defer { for descriptor in opened { close(descriptor) } }
        for _ in 0..<count {
            let descriptor = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
            let errorNumber = errno
            if descriptor < 0, errorNumber == EMFILE || errorNumber == ENFILE {
                throw CommandError(
                    exitCode: .temporaryFailure, code: "tooManyOpenFiles",
                    message: "The process has too few file descriptors left.",
                    remedy: "Raise the limit (ulimit -n).", errorNumber: errorNumber)
            }
            // Without this device there is nothing to count with.
            guard descriptor >= 0 else { return }
            opened.append(descriptor)
        }
    }
}
