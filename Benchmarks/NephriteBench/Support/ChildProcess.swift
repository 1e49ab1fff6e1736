/// This program started again, for what needs a process of its own: reopening and being killed.

import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A running child whose standard output we read.
struct ChildProcess {
    private let identifier: pid_t
    private let output: Int32

    /// Starts this program with the arguments.
    init(_ arguments: [String]) throws {
        guard let program = Bundle.main.executablePath else { throw BenchError("cannot find this program's file") }
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw BenchError("no pipe: \(describeErrorNumber())") }
        // Only the child's standard output may hold the writing end, or the end of it would never be seen.
        _ = ends.map { fcntl($0, F_SETFD, FD_CLOEXEC) }
        #if canImport(Glibc)
            var actions = unsafe posix_spawn_file_actions_t()
        #else
            var actions: posix_spawn_file_actions_t? = nil
        #endif
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        var words: [UnsafeMutablePointer<CChar>?] = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        var child = pid_t()
        let result = unsafe posix_spawn(&child, program, &actions, nil, &words, environ)
        close(ends[1])
        guard result == 0 else {
            close(ends[0])
            throw BenchError("cannot start \(program): error \(result)")
        }
        identifier = child
        output = ends[0]
    }

    /// Waits for output up to a time: the bytes, empty when none came, nil at the end.
    func read(timeoutMilliseconds: Int32) -> [UInt8]? {
        var request = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&request, 1, timeoutMilliseconds) > 0 else { return [] }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            #if canImport(Glibc)
                unsafe Glibc.read(output, bytes.baseAddress, bytes.count)
            #else
                unsafe Darwin.read(output, bytes.baseAddress, bytes.count)
            #endif
        }
        return count > 0 ? Array(buffer[0..<count]) : nil
    }

    /// Kills it with SIGKILL.
    func kill() {
        _ = sendSignal(identifier, SIGKILL)
    }

    /// Reads what is left, waits for the end and closes the pipe.
    ///
    /// - Returns: the output that was left and whether it ended by itself with 0.
    func finish() -> (output: [UInt8], succeeded: Bool) {
        var rest: [UInt8] = []
        while let part = read(timeoutMilliseconds: -1) { rest += part }
        var status: Int32 = 0
        unsafe waitpid(identifier, &status, 0)
        close(output)
        return (rest, status == 0)
    }

    /// Runs this program to its end and decodes its last line.
    static func result<T: Decodable>(_ arguments: [String], as type: T.Type) throws -> T {
        let (output, succeeded) = try ChildProcess(arguments).finish()
        guard succeeded, let line = output.split(separator: 0x0A).last else {
            throw BenchError("the child \(arguments.prefix(1)) failed")
        }
        return try JSONDecoder().decode(type, from: Data(line))
    }
}

private func sendSignal(_ identifier: pid_t, _ signal: Int32) -> Int32 {
    kill(identifier, signal)
}
