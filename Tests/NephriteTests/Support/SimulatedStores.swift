// Stores on simulated disks, run by real tasks, as many tests want them: small segments, and a small address space.
import Nephrite
import StorageIO
import StorageSimulation

/// The settings of a store on a simulated disk.
func simulatedConfiguration(_ disk: any FileSystem, segmentByteCount: Int = 1 << 17) -> StoreConfiguration {
    var configuration = StoreConfiguration()
    configuration.environment.fileSystem = { _ in disk }
    configuration.logSegmentByteCount = segmentByteCount
    configuration.addressSpaceReservation = 1 << 20
    return configuration
}

/// A store on a simulated disk.
func simulatedStore(_ disk: any FileSystem, segmentByteCount: Int = 1 << 17) -> VectorStore {
    VectorStore(
        at: "simulated", configuration: simulatedConfiguration(disk, segmentByteCount: segmentByteCount))
}
