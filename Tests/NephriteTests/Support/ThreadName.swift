// The name of the thread that asks: tests of executors see with it where work runs.
import Foundation

enum ThreadName {
    static var current: String {
        #if os(Linux)
            guard let name = try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8) else { return "" }
            return name.trimmingCharacters(in: .newlines)
        #else
            return Thread.current.name ?? ""
        #endif
    }
}
