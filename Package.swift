// swift-tools-version: 6.2
// The package: modules, products and tests; what each module may import is in the article Architecture.
import PackageDescription

/// Builds the seeded bugs of Tests/Mutants in, and the program that runs the campaign on each; never set for a release.
let hasMutants = Context.environment["NEPHRITE_MUTANTS"] != nil

let swiftSettings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        .strictMemorySafety(),
        .treatAllWarnings(as: .error),
    ] + (hasMutants ? [.define("NEPHRITE_MUTANTS")] : [])

let package = Package(
    name: "nephrite",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Nephrite", targets: ["Nephrite"]),
        .library(name: "StorageSimulation", targets: ["StorageSimulation"]),
        .executable(name: "nephrite", targets: ["NephriteCLI"]),
        .executable(name: "nephrite-torture", targets: ["NephriteTorture"]),
    ],
    targets: [
        .target(
            name: "CNephrite", cSettings: [.define("_GNU_SOURCE", .when(platforms: [.linux]))],
            linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),
        .target(name: "StorageFormat", dependencies: ["CNephrite"], swiftSettings: swiftSettings),
        .target(name: "StorageIO", dependencies: ["CNephrite"], swiftSettings: swiftSettings),
        .target(
            name: "Nephrite", dependencies: ["CNephrite", "StorageFormat", "StorageIO"], swiftSettings: swiftSettings),
        .target(
            name: "StorageSimulation", dependencies: ["Nephrite", "StorageIO", "StorageFormat"],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "NephriteCLI", dependencies: ["Nephrite", "StorageIO"], swiftSettings: swiftSettings),
        .target(name: "CTorture", cSettings: [.define("_GNU_SOURCE", .when(platforms: [.linux]))]),
        .target(name: "NephriteExercise", dependencies: ["Nephrite"], swiftSettings: swiftSettings),
        .executableTarget(
            name: "NephriteTorture",
            dependencies: ["CTorture", "Nephrite", "NephriteExercise", "StorageIO", "StorageSimulation"],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "nephrite-bench", dependencies: ["Nephrite", "StorageIO", "CNephrite"],
            path: "Benchmarks/NephriteBench", swiftSettings: swiftSettings),
        .testTarget(
            name: "StorageFormatTests", dependencies: ["StorageFormat", "CNephrite"], exclude: ["Golden"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "StorageIOTests", dependencies: ["StorageIO", "StorageSimulation"], swiftSettings: swiftSettings),
        .testTarget(
            name: "StorageSimulationTests", dependencies: ["StorageSimulation", "StorageIO", "StorageFormat"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "NephriteTests",
            dependencies: ["Nephrite", "StorageFormat", "StorageIO", "StorageSimulation", "CNephrite"],
            exclude: ["Golden"], swiftSettings: swiftSettings),
        .testTarget(
            name: "CLITests", dependencies: ["NephriteCLI", "Nephrite", "StorageFormat", "StorageIO"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "TortureTests", dependencies: ["NephriteTorture", "NephriteExercise", "Nephrite"],
            swiftSettings: swiftSettings),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)

if hasMutants {
    package.targets.append(
        .executableTarget(
            name: "nephrite-mutants", dependencies: ["StorageSimulation", "StorageFormat"],
            path: "Tests/Mutants/Runner",
            swiftSettings: swiftSettings))
}
