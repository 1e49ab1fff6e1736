#!/usr/bin/env bash
# Tests of the tests: builds the engine once with its seeded bugs (Sources/StorageFormat/Mutant.swift) and lets the crash
# campaign hunt each of them. Prints a table; fails if one gets away, if the engine without a bug is caught, or if the bugs
# are not those of Tests/Mutants/list.txt, so that none goes missing without a word.
#
#     Tests/Mutants/run.sh [SEEDS] [MUTANT…]      SEEDS is how many seeds a bug may survive at most, 400 unless given
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-400}
shift || true
export SWIFT_BACKTRACE=enable=no
NEPHRITE_MUTANTS=1 swift build -c release --product nephrite-mutants --scratch-path .build-mutants > /dev/null
runner=.build-mutants/release/nephrite-mutants
if ! diff <("$runner" list | grep -v "," | LC_ALL=C sort) Tests/Mutants/list.txt; then
    echo "the seeded bugs are not those of Tests/Mutants/list.txt" >&2
    exit 1
fi
mutants=("$@")
if [ ${#mutants[@]} -eq 0 ]; then mapfile -t mutants < <("$runner" list | grep -v ","); fi
missed=0
printf '%-24s %-8s %s\n' "seeded bug" "caught" "by"
for mutant in "none" "${mutants[@]}"; do
    code=0
    output=$(NEPHRITE_MUTANT=$mutant timeout "${NEPHRITE_MUTANT_SECONDS:-120}" "$runner" hunt "$seeds" 2>&1 | tr -d "\0") || code=$?
    by=$(grep -m 1 '^CAUGHT' <<< "$output" | cut -c 8-140 || true)
    # What only takes too long is not caught.
    if [ -z "$by" ] && [ "$code" -ne 0 ] && [ "$code" -ne 124 ]; then
        by="a trap (exit $code): $(grep -m 1 'Fatal error' <<< "$output" | sed 's/.*Fatal error: //' | cut -c 1-80 || true)"
    fi
    if [ "$mutant" = none ]; then
        [ "$code" -eq 0 ] || { by=${by:-no end}; missed=$((missed + 1)); }
        printf '%-24s %-8s %s\n' "(none)" "$([ -z "$by" ] && echo no || echo YES)" "${by:-$(tail -n 1 <<< "$output")}"
    elif [ -n "$by" ]; then
        printf '%-24s %-8s %s\n' "$mutant" yes "$by"
    else
        printf '%-24s %-8s %s\n' "$mutant" NO "$(tail -n 1 <<< "$output")"
        missed=$((missed + 1))
    fi
done
echo "${#mutants[@]} seeded bugs, $missed missed"
[ "$missed" -eq 0 ]
