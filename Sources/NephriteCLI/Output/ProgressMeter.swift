/// Shows on a terminal how far a job is; a job tells it its count, it tells `Console` a few times a second.

/// A progress line.
struct ProgressMeter {
    private let console: Console
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var drawn: ContinuousClock.Instant?

    init(_ console: Console) {
        self.console = console
        start = clock.now
    }

    /// Draws the line, unless it was drawn a moment ago.
    mutating func update(rows: Int) {
        guard console.showsProgress else { return }
        let now = clock.now
        if let drawn, now - drawn < .milliseconds(100) { return }
        drawn = now
        console.progress(HumanText.rate(rows: rows, in: now - start))
    }

    /// Draws how much of something is done, unless the line was drawn a moment ago.
    mutating func update(_ what: String, done: Int, of total: Int) {
        guard console.showsProgress else { return }
        let now = clock.now
        if let drawn, now - drawn < .milliseconds(100) { return }
        drawn = now
        console.progress("\(what) \(HumanText.grouped(done)) of \(HumanText.grouped(total))")
    }

    /// Removes the line, if there is one.
    func end() {
        if drawn != nil { console.endProgress() }
    }
}
