/// Comparing fields with values of Swift's own types, as variables have them; ``FilterField`` compares with
/// ``MetadataValue``s, which is also what literals become.

extension FilterField {
    /// The same as ``Filter/field(_:)``, so that `.field("year") >= 2020` is a filter wherever one is expected.
    public static func field(_ path: String) -> FilterField { Filter.field(path) }

    /// As with a ``MetadataValue``.
    public static func == (field: FilterField, value: some MetadataConvertible) -> Filter {
        filter(value) { field == $0 }
    }

    /// As with a ``MetadataValue``.
    public static func != (field: FilterField, value: some MetadataConvertible) -> Filter {
        filter(value) { field != $0 }
    }

    /// As with a ``MetadataValue``.
    public static func < (field: FilterField, value: some MetadataConvertible) -> Filter {
        filter(value) { field < $0 }
    }

    /// As with a ``MetadataValue``.
    public static func <= (field: FilterField, value: some MetadataConvertible) -> Filter {
        filter(value) { field <= $0 }
    }

    /// As with a ``MetadataValue``.
    public static func > (field: FilterField, value: some MetadataConvertible) -> Filter {
        filter(value) { field > $0 }
    }

    /// As with a ``MetadataValue``.
    public static func >= (field: FilterField, value: some MetadataConvertible) -> Filter {
        filter(value) { field >= $0 }
    }

    /// Holds where the field is equal to one of the values.
    public func isIn(_ values: [some MetadataConvertible]) -> Filter {
        let known = values.compactMap(\.metadataValue)
        return known.count == values.count ? isIn(known) : Self.beyond
    }

    /// Holds where the field is not less than `lower` and not greater than `upper`.
    public func isBetween(_ lower: some MetadataConvertible, and upper: some MetadataConvertible) -> Filter {
        Self.filter(lower) { lower in Self.filter(upper) { isBetween(lower, and: $0) } }
    }

    /// Holds where the field is an array with an element that is equal to the value.
    public func contains(_ value: some MetadataConvertible) -> Filter { Self.filter(value) { contains($0) } }

    private static var beyond: Filter { Filter(problem: .filter("An integer is beyond Int64.")) }

    private static func filter(_ value: some MetadataConvertible, _ body: (MetadataValue) -> Filter) -> Filter {
        value.metadataValue.map(body) ?? beyond
    }
}
