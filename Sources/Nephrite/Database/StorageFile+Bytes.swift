/// Reading and writing whole byte arrays: headers, catalogues and page tables go through here.
import StorageIO

extension StorageFile {
    /// Up to `count` bytes at an offset; fewer at the end of the file.
    func readBytes(count: Int, at offset: UInt64) throws(FileSystemError) -> [UInt8] {
        var failure: FileSystemError?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
            do throws(FileSystemError) {
                done = try unsafe readFully(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes all bytes at an offset.
    func writeBytes(_ bytes: [UInt8], at offset: UInt64) throws(FileSystemError) {
        unsafe try bytes.withUnsafeBytesTyped { (buffer) throws(FileSystemError) in
            try unsafe writeFully([buffer], at: offset)
        }
    }
}

extension Array {
    /// `withUnsafeBytes` that keeps the type of what is thrown.
    func withUnsafeBytesTyped<R, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> R
    ) throws(Failure) -> R {
        let result: Result<R, Failure> = unsafe withUnsafeBytes { bytes in
            do throws(Failure) {
                return .success(try unsafe body(bytes))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
