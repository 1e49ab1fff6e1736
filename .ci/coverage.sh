#!/usr/bin/env bash
# Region coverage of the storage core: .ci/coverage.sh [--run] [OUTPUT-DIRECTORY]. With --run the tests are run first
# (swift test --enable-code-coverage, in a build directory of its own); without it the last run is reported again. Prints
# regions and lines per module, and writes every place that no test reached to OUTPUT-DIRECTORY/uncovered.txt.
# Processes that are killed leave no counts, so what only children of the kill and power tests do is not in the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=.build-coverage
if [ "${1:-}" = --run ]; then
    shift
    swift build --build-tests --enable-code-coverage --scratch-path "$scratch"
    swift test --skip-build --enable-code-coverage --no-parallel --scratch-path "$scratch"
fi
output=${1:-$scratch/coverage}
mkdir -p "$output"
tools=$(dirname "$(readlink -f "$(command -v swift)")")
bundle=$scratch/debug/nephritePackageTests.xctest
profile=$(find "$scratch" -name default.profdata -print -quit)
[ -n "$profile" ] || { echo "no profile: run .ci/coverage.sh --run first" >&2; exit 1; }
python3 .ci/coverage.py "$tools/llvm-cov" "$bundle" "$profile" "$output/uncovered.txt"
