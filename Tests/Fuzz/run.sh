#!/bin/sh
# Fuzzes with libFuzzer: Tests/Fuzz/run.sh TARGET SECONDS
# TARGET: a parser of StorageFormat (header, segment, catalogue, metadata, logbodies, …), `filter`, the text of filters, or
# `store`, a whole store whose files are changed; Tests/Fuzz/run.sh list names them all. New inputs are kept beside the build, not in the corpus;
# Tests/Fuzz/run.sh TARGET merge takes up to 100 small ones that reach new code into Tests/Fuzz/Corpus/TARGET.
set -eu
usage='usage: run.sh TARGET SECONDS|merge, or run.sh list'
target=${1:?$usage}
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$target" = list ]; then
    cd "$root/Tests/Fuzz" && ls *.swift | grep -v '^Checksum' | sed 's/\.swift$//'
    exit
fi
seconds=${2:?$usage}
build=${FUZZ_BUILD:-$root/.build/fuzz}
corpus=$root/Tests/Fuzz/Corpus/$target
mkdir -p "$build/found/$target" "$corpus"

c_sources="crc32c crc32c_arm crc32c_x86 xxh64"
case $target in store | filter) c_sources=$(cd "$root/Sources/CNephrite" && ls *.c | sed 's/\.c$//') ;; esac
objects=
for source in $c_sources; do
    clang -O1 -g -D_GNU_SOURCE -fsanitize=fuzzer-no-link -I "$root/Sources/CNephrite/include" \
        -c "$root/Sources/CNephrite/$source.c" -o "$build/$source.o"
    objects="$objects $build/$source.o"
done
printf 'module CNephrite { umbrella header "%s/Sources/CNephrite/include/CNephrite.h" export * }\n' "$root" \
    > "$build/module.modulemap"

# compile MODULE SOURCES…: one instrumented module
compile() {
    module=$1
    shift
    swiftc -O -g -wmo -parse-as-library -sanitize=fuzzer -swift-version 6 -package-name nephrite -module-name "$module" \
        -enable-upcoming-feature ExistentialAny -enable-upcoming-feature InternalImportsByDefault \
        -enable-upcoming-feature MemberImportVisibility -enable-upcoming-feature NonisolatedNonsendingByDefault \
        -Xcc -fmodule-map-file="$build/module.modulemap" -I "$build" \
        -emit-module -emit-module-path "$build/$module.swiftmodule" -emit-object -o "$build/$module.o" "$@"
    objects="$objects $build/$module.o"
}

if [ "$target" = store ]; then
    for module in StorageFormat StorageIO Nephrite StorageSimulation; do
        compile "$module" $(find "$root/Sources/$module" -name '*.swift')
    done
    compile Fuzz "$root/Tests/Fuzz/$target.swift"
elif [ "$target" = filter ]; then
    # The part of the engine that filters need, in the same module as the formats.
    rm -rf "$build/engine" && mkdir -p "$build/engine"
    for file in API/Filter API/StoreError API/Metadata API/MetadataScalar API/Metadata+Encoding Filtering/FilterNode Filtering/FilterText \
        Filtering/FilterLexer Filtering/FilterParser Filtering/ValueOrder Filtering/CompiledFilter \
        Filtering/CompiledFilter+Evaluation; do
        sed '/^import StorageFormat$/d' "$root/Sources/Nephrite/$file.swift" > "$build/engine/$(basename "$file").swift"
    done
    printf 'extension StoreError { static func invalidMetadata(_ cause: FormatError) -> StoreError {\n%s } }\n' \
        'StoreError(.invalidMetadata, "\(cause)", remedy: "")' > "$build/engine/Causes.swift"
    compile Fuzz "$root"/Sources/StorageFormat/*.swift "$build"/engine/*.swift "$root/Tests/Fuzz/Checksum.swift" \
        "$root/Tests/Fuzz/$target.swift"
else
    compile Fuzz "$root"/Sources/StorageFormat/*.swift "$root/Tests/Fuzz/Checksum.swift" "$root/Tests/Fuzz/$target.swift"
fi
swiftc -sanitize=fuzzer $objects -lm -o "$build/$target"

export SWIFT_BACKTRACE=enable=no
cd "$build"
if [ "$seconds" = merge ]; then
    rm -rf "merged/$target" && mkdir -p "merged/$target"
    "./$target" -merge=1 -max_len=12288 "merged/$target" "$corpus" "found/$target"
    rm -f "$corpus"/*
    find "merged/$target" -type f -size -13k | sort | head -100 | xargs -I{} cp {} "$corpus/"
else
    "./$target" -max_total_time="$seconds" -max_len=12288 -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
        "found/$target" "$corpus"
fi
