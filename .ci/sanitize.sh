#!/usr/bin/env bash
# The thread sanitizer on what runs on many threads and on what commits, recovers and checkpoints: .ci/sanitize.sh [MINUTES].
# Runs the tests once; with MINUTES again and again until that much time has gone by. Stops at the first report.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-0}
bundle=.build-tsan/debug/nephritePackageTests.xctest
# By the names of suites.
tests='Smoke|Stress|Concurren|Durab|Crash|Recover|Registry|Transaction|Checkpoint|Cancel|Shutdown|Lifecycle'
tests+='|Staging|BulkSync|BulkWrite|Rotation|IOExecutorTests|IdleSpinTests|ReadOnlyCodesTests|ReadmeExampleTests|MemoryFileSystemTests|ExactScannerTests'
swift build --build-tests --sanitize=thread --scratch-path .build-tsan
# See tsan-mutex.c: without it every contended Mutex is reported. One test after the other: each is parallel enough, and the
# sanitizer is slow to open stores (it follows every reservation of address space).
clang -O2 -Wall -Werror -fPIC -shared -o .build-tsan/tsan-mutex.so .ci/tsan-mutex.c
export NEPHRITE_SANITIZED=1 TSAN_OPTIONS="halt_on_error=1 exitcode=66"
begin=$SECONDS
runs=0
while :; do
    LD_PRELOAD=$PWD/.build-tsan/tsan-mutex.so "$bundle" --testing-library swift-testing --no-parallel --filter "$tests"
    runs=$((runs + 1))
    [ $((SECONDS - begin)) -lt $((minutes * 60)) ] || break
done
echo "thread sanitizer: $runs runs in $((SECONDS - begin)) s, no report"
