"""Sums up llvm-cov's export by module and lists the regions that were never executed; called by coverage.sh."""
import collections
import json
import subprocess
import sys

MODULES = ["StorageFormat", "StorageIO", "Nephrite"]
# What stops a program that is wrong: no test reaches the messages, as it would have to be one.
STOPS = ("precondition(", "preconditionFailure(", "fatalError(", "assert(")


def main(llvm_cov, bundle, profile, output):
    export = subprocess.run(
        [llvm_cov, "export", bundle, "-instr-profile", profile], capture_output=True, check=True, text=True
    )
    data = json.loads(export.stdout)["data"][0]
    totals = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    uncovered = []
    for file in data["files"]:
        name = file["filename"]
        module = next((module for module in MODULES if f"/Sources/{module}/" in name), None)
        if module is None:
            continue
        regions, lines = file["summary"]["regions"], file["summary"]["lines"]
        total = totals[module]
        total[0] += regions["covered"]
        total[1] += regions["count"]
        total[2] += lines["covered"]
        total[3] += lines["count"]
        source = open(name, encoding="utf-8").read().split("\n")
        short = name[name.index("/Sources/") + 1:]
        missing = regions["count"] - regions["covered"]
        if missing == 0:
            continue
        found = sorted(places(file, source))
        total[4] += min(missing, sum(is_stop(line, source) for line, _ in found))
        uncovered.append((short, missing, regions["count"], found))
    print(f"{'module':<16}{'regions':>18}{'':>9}{'lines':>18}{'':>9}  without preconditions")
    core = [sum(total[i] for total in totals.values()) for i in range(5)]
    for module, (covered, count, line_covered, line_count, stops) in [*totals.items(), ("all", core)]:
        print(
            f"{module:<16}{f'{covered}/{count}':>18}{100 * covered / count:>8.2f}%"
            f"{f'{line_covered}/{line_count}':>18}{100 * line_covered / line_count:>8.2f}%"
            f"{100 * covered / (count - stops):>14.2f}%"
        )
    with open(output, "w", encoding="utf-8") as report:
        for short, missing, count, found in sorted(uncovered, key=lambda entry: -entry[1]):
            report.write(f"{short}: {missing} of {count} regions\n")
            for line, text in found:
                report.write(f"    {line}: {text}\n")
    print(f"not reached: {output}")


def is_stop(line, source):
    """Whether a line belongs to a precondition, which may have begun up to two lines before."""
    text = ""
    for start in range(line - 1, max(-1, line - 4), -1):
        text = source[start] + text
        if any(stop in source[start] for stop in STOPS):
            return start == line - 1 or text.count("(") >= text.count(")")
    return False


def places(file, source):
    """The first line of each stretch that was never executed."""
    found = {}
    for line, column, count, has_count, is_entry, is_gap in file["segments"]:
        if has_count and count == 0 and is_entry and not is_gap and line <= len(source):
            text = source[line - 1]
            found.setdefault(line, f"{text[:column - 1].lstrip()} «{text[column - 1:]}»".strip())
    return found.items()


main(*sys.argv[1:])
