#!/usr/bin/env bash
# Builds the documentation of the module Nephrite with its articles: DocC/build.sh [OUTPUT-DIRECTORY].
# Needs only the Swift toolchain. Fails when an article has a warning, such as a link to nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-.build/documentation}
graphs=.build/symbol-graphs
log=.build/docc.log

# A module's symbol graph is made from its compiled interface, so the module is built first.
swift build --target Nephrite
modules=$(swift build --show-bin-path)/Modules
target=$(swift -print-target-info | sed -n 's/^ *"unversionedTriple" *: *"\(.*\)",*$/\1/p' | head -n 1)
rm -rf "$graphs" "$output"
mkdir -p "$graphs" "$(dirname "$output")"
swift symbolgraph-extract -module-name Nephrite -target "$target" -minimum-access-level public \
    -I "$modules" -Xcc -fmodule-map-file="$modules/../CNephrite.build/module.modulemap" \
    -skip-synthesized-members -output-dir "$graphs"

docc=$(command -v docc || echo "$(dirname "$(readlink -f "$(command -v swift)")")/docc")
"$docc" convert DocC/Nephrite.docc --additional-symbol-graph-dir "$graphs" --output-path "$output" \
    --fallback-display-name Nephrite --fallback-bundle-identifier nephrite \
    --transform-for-static-hosting 2>&1 | tee "$log"
if grep -E '(warning|error):' "$log" > /dev/null; then
    echo "docc has warnings, see above" >&2
    exit 1
fi
echo "Documentation: $output (python3 -m http.server -d $output, then /documentation/nephrite)"
