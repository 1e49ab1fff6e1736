#!/usr/bin/env bash
# Region coverage of the storage core, from one build: .ci/coverage.sh. Builds the tests with coverage in a build directory of
# its own, runs them part by part, prints regions and lines per module, and writes every place that no test reached to
# .build-coverage/uncovered.txt. Where one command may not take as long as all of it:
#     .ci/coverage.sh build; .ci/coverage.sh test PART (for each of `.ci/coverage.sh parts`); .ci/coverage.sh report
# Processes that are killed leave no counts, or half a profile, which is passed over: what only children of the kill and power
# tests do is not in the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$PWD/.build-coverage
bundle=$scratch/debug/nephritePackageTests.xctest
profiles=$scratch/profiles
parts="formats campaigns stress engine tools"
# By the names of suites.
campaigns='CampaignTests|FaultMatrixTests|ExhaustiveCrashTests'
stress='Concurrency|Stress|Cascade|Search'

build() {
    # What an earlier build has counted says nothing about this one.
    rm -rf "$profiles"
    swift build --build-tests --enable-code-coverage --scratch-path "$scratch"
    mkdir "$profiles"
    git describe --always --dirty --exclude '*' > "$profiles/commit"
}

# test_part PART: runs its tests; each process leaves a profile.
test_part() {
    local choice
    case $1 in
        formats) choice=(--filter '^(StorageFormat|StorageIO|StorageSimulation)Tests\.') ;;
        campaigns) choice=(--filter "^NephriteTests\..*($campaigns)") ;;
        stress) choice=(--filter "^NephriteTests\..*($stress)" --skip "$campaigns") ;;
        engine) choice=(--filter '^NephriteTests\.' --skip "$campaigns|$stress") ;;
        tools) choice=(--filter '^(CLI|Torture)Tests\.') ;;
        *) echo "no such part: $1 (there are $parts)" >&2 && return 2 ;;
    esac
    rm -f "$profiles/$1"-*
    LLVM_PROFILE_FILE=$profiles/$1-%p.profraw "$bundle" --testing-library swift-testing --no-parallel "${choice[@]}"
}

report() {
    local tools part
    for part in $parts; do
        compgen -G "$profiles/$part-*" > /dev/null || { echo "part $part was not run on this build" >&2 && return 1; }
    done
    tools=$(dirname "$(readlink -f "$(command -v swift)")")
    "$tools/llvm-profdata" merge -failure-mode=all -o "$profiles/all.profdata" "$profiles"/*.profraw
    echo "commit $(cat "$profiles/commit")"
    python3 .ci/coverage.py "$tools/llvm-cov" "$bundle" "$profiles/all.profdata" "$scratch/uncovered.txt"
}

case ${1:-all} in
    build) build ;;
    parts) echo "$parts" ;;
    test) test_part "${2:?of which part}" ;;
    report) report ;;
    all)
        build
        for part in $parts; do test_part "$part"; done
        report
        ;;
    *) echo "usage: .ci/coverage.sh [build | parts | test PART | report]" >&2 && exit 2 ;;
esac
