/// Finds the word somebody meant: the parser and the runner hand it what was typed and what there is.

/// The nearest of a few words by the number of letters to change.
enum Suggestion {
    /// The word nearest to `typed`, unless it is too far away to be meant.
    static func nearest(to typed: String, in words: [String]) -> String? {
        let limit = max(1, min(3, typed.drop { $0 == "-" }.count / 2))
        return words.map { (word: $0, distance: distance(typed, $0)) }
            .filter { $0.distance <= limit }
            .min { ($0.distance, $0.word) < ($1.distance, $1.word) }?.word
    }

    /// The Levenshtein distance: insertions, deletions and replacements of letters that turn one word into
    /// the other. Only the first 64 letters count, so that a hostile argument costs nothing.
    static func distance(_ first: String, _ second: String) -> Int {
        let first = Array(first.prefix(64))
        let second = Array(second.prefix(64))
        var row = Array(0...second.count)
        for (line, letter) in first.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for (column, other) in second.enumerated() {
                let replaced = diagonal + (letter == other ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
            }
        }
        return row[second.count]
    }
}
