/// The smallest program that uses the store: writes three records, reopens, finds the nearest. CI builds and runs it.
import Nephrite

@main struct Client {
    static func main() async throws {
        let path = CommandLine.arguments[1]
        try await withVectorStore(at: path) { store in
            let places = try await store.createDatabase("places", options: .init(dimension: 2, metric: .euclidean))
            try await places.upsert(ids: ["home", "shop", "lake"], vectors: [0, 0, 1, 1, 9, 9])
        }
        try await withVectorStore(at: path) { store in
            let hits = try await store.database("places").search([1, 2], k: 2)
            precondition(hits.map(\.id) == ["shop", "home"], "\(hits)")
            print("client: found", hits.map(\.id))
        }
    }
}
