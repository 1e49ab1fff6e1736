/// libFuzzer entry: a whole store whose files are changed and which is then used; see `StoreFuzz`.
import StorageSimulation

/// Runs one input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzStore(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    StoreFuzz.run(Array(UnsafeBufferPointer(start: start, count: count))) ? 0 : -1
}
