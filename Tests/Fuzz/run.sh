#!/bin/sh
# Fuzzes one parser with libFuzzer: Tests/Fuzz/run.sh TARGET SECONDS
# TARGET: header, segment, catalogue, metadata, logbodies, codes, filter. New inputs are kept beside the build, not in the corpus;
# Tests/Fuzz/run.sh TARGET merge takes up to 100 small ones that reach new code into Tests/Fuzz/Corpus/TARGET.
set -eu
target=${1:?usage: run.sh TARGET SECONDS|merge}
seconds=${2:?usage: run.sh TARGET SECONDS|merge}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${FUZZ_BUILD:-$root/.build/fuzz}
corpus=$root/Tests/Fuzz/Corpus/$target
mkdir -p "$build/found/$target" "$corpus"

objects=
for file in "$root"/Sources/CNephrite/*.c; do
    object=$build/$(basename "$file" .c).o
    clang -O1 -g -D_GNU_SOURCE -fsanitize=fuzzer-no-link -I "$root/Sources/CNephrite/include" -c "$file" -o "$object"
    objects="$objects $object"
done
printf 'module CNephrite { umbrella header "%s/Sources/CNephrite/include/CNephrite.h" export * }\n' "$root" \
    > "$build/module.modulemap"
engine=
if [ "$target" = filter ]; then
    # The part of the engine that filters need, in the same module as the formats.
    rm -rf "$build/engine" && mkdir -p "$build/engine"
    for file in API/Filter API/StoreError API/Metadata API/Metadata+Encoding Filtering/FilterNode Filtering/FilterText \
        Filtering/FilterLexer Filtering/FilterParser Filtering/ValueOrder Filtering/CompiledFilter \
        Filtering/CompiledFilter+Evaluation; do
        sed '/^import StorageFormat$/d' "$root/Sources/Nephrite/$file.swift" > "$build/engine/$(basename "$file").swift"
    done
    printf 'extension StoreError { static func invalidMetadata(_ cause: FormatError) -> StoreError {\n%s } }\n' \
        'StoreError(.invalidMetadata, "\(cause)", remedy: "")' > "$build/engine/Causes.swift"
    engine=$build/engine/*.swift
fi
# shellcheck disable=SC2086
swiftc -O -g -parse-as-library -sanitize=fuzzer -swift-version 6 -package-name nephrite -module-name Fuzz \
    -enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature MemberImportVisibility \
    -Xcc -fmodule-map-file="$build/module.modulemap" \
    "$root"/Sources/StorageFormat/*.swift $engine "$root/Tests/Fuzz/Checksum.swift" "$root/Tests/Fuzz/$target.swift" \
    $objects -o "$build/$target"

export SWIFT_BACKTRACE=enable=no
cd "$build"
if [ "$seconds" = merge ]; then
    rm -rf "merged/$target" && mkdir -p "merged/$target"
    "./$target" -merge=1 -max_len=12288 "merged/$target" "$corpus" "found/$target"
    rm -f "$corpus"/*
    find "merged/$target" -type f -size -13k | sort | head -100 | xargs -I{} cp {} "$corpus/"
else
    "./$target" -max_total_time="$seconds" -max_len=12288 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
        "found/$target" "$corpus"
fi
