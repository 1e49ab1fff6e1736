// swift-tools-version: 6.2
// A package as a user would write it: it depends on Nephrite by path, which SwiftPM refuses if Nephrite used unsafeFlags.
import PackageDescription

let package = Package(
    name: "client",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "nephrite", path: "../..")],
    targets: [
        .executableTarget(name: "client", dependencies: [.product(name: "Nephrite", package: "nephrite")])
    ],
    swiftLanguageModes: [.v6]
)
