#!/usr/bin/env bash
# Walks through the command line with the real sample in a temporary store: .ci/walkthrough.sh [PATH-TO-NEPHRITE].
# Fails at the first command whose output or exit code is not what scripts may rely on.
set -euo pipefail
cd "$(dirname "$0")/.."
nephrite=${1:-$PWD/.build/release/nephrite}
data=$PWD/Tests/Data/wordnet-minilm
work=$(mktemp -d "${TMPDIR:-/tmp}/nephrite-walkthrough.XXXXXX")
store=$work/store
importer=
trap '[ -z "$importer" ] || kill -9 "$importer" 2> /dev/null || true; rm -rf "$work"' EXIT

fail() {
    echo "walkthrough: $*" >&2
    [ ! -s "$work/errors" ] || cat "$work/errors" >&2
    exit 1
}

# run EXPECTED-EXIT-CODE ARGUMENTS…: output in $work/output, messages in $work/errors
run() {
    local expected=$1 code=0
    shift
    "$nephrite" "$@" > "$work/output" 2> "$work/errors" || code=$?
    [ "$code" = "$expected" ] || fail "nephrite $* ended with $code, not $expected"
    [ "$expected" = 0 ] || [ -s "$work/errors" ] || fail "nephrite $* failed without a word"
}

# output EXPECTED: the last output is exactly this
output() { [ "$(cat "$work/output")" = "$1" ] || fail "printed '$(head -c 300 "$work/output")', not '$1'"; }
# like PATTERN: a line of the last output matches
like() { grep -Eq -- "$1" "$work/output" || fail "printed '$(head -c 300 "$work/output")', nothing like '$1'"; }
# acknowledged FILE: the last whole acknowledgement in it
acknowledged() { sed -n 's/^{"acknowledged":\([0-9]*\)}$/\1/p' "$1" | tail -n 1; }

echo "-- create, import, get, search, list, count, stats, check"
run 0 create --store "$store" glosses --dimension 384 --metric cosine
run 0 import --store "$store" glosses "$data/base.fvecs" --records "$data/base.ndjson" --batch-size 500 --json
[ "$(wc -l < "$work/output")" = 10 ] || fail "10 batches were to be acknowledged"
[ "$(acknowledged "$work/output")" = 5000 ] || fail "5000 rows were to be acknowledged"
run 0 count --store "$store" glosses
output 5000
first=$(sed -n '1s/.*"id": *"\([^"]*\)".*/\1/p' "$data/base.ndjson")
run 0 get --store "$store" glosses "$first" --json
like "^\{\"id\":\"$first\",\"vector\":\[.*\],\"metadata\":\{.*\"gloss\":"
run 0 search --store "$store" glosses --like "$first" -k 5 --json
like "^\{\"query\":0,\"ids\":\[\"$first\",.*\"scores\":\[.*\],\"nanoseconds\":[0-9]+\}$"
run 0 search --store "$store" glosses --queries "$data/query.fvecs" -k 10 --json
[ "$(wc -l < "$work/output")" = 200 ] || fail "200 queries were to be answered"
run 0 list --store "$store"
like "^glosses +384 +cosine +durable$"
run 0 list --store "$store" --json
like '"name":"glosses","dimension":384,"metric":"cosine"'
run 0 stats --store "$store" glosses --json
like '"recordCount":5000'
run 0 check --store "$store"
run 0 check --store "$store" --json
like '^\{"sound":true,'

echo "-- the other formats"
printf '%s\n' '{"id":"a","vector":[0,0],"metadata":{"n":1}}' '{"id":"b","vector":[3,4]}' > "$work/rows.ndjson"
run 0 create --store "$store" points --dimension 2 --metric euclidean
run 0 import --store "$store" points "$work/rows.ndjson"
run 0 get --store "$store" points a --json
output '{"id":"a","vector":[0.0,0.0],"metadata":{"n":1}}'
run 0 search --store "$store" points --vector '[0, 0]' -k 2 --json
like '^\{"query":0,"ids":\["a","b"\],"scores":\[0.0,5.0\],'

echo "-- bad input"
run 64 serch
run 64 count --store "$store"
run 64 create --store "$store" ../x --dimension 2
run 64 create --store "$store" Upper --dimension 2
run 64 create --store "$store" x --dimension 0
run 65 search --store "$store" points --vector '[1, 2, 3]'
run 65 import --store "$store" glosses "$work/rows.ndjson"
head -c 5000 "$data/base.fvecs" > "$work/cut.fvecs"
run 65 import --store "$store" glosses "$work/cut.fvecs"
run 66 count --store "$store" missing
run 66 count --store "$work/nowhere" glosses
run 66 import --store "$store" points "$work/nowhere.fvecs"
run 73 create --store "$store" points --dimension 2
run 1 get --store "$store" points nothing
run 0 count --store "$store" glosses
output 5000
mkdir "$work/foreign" && echo text > "$work/foreign/file"
run 65 create --store "$work/foreign" x --dimension 2
[ "$(ls -A "$work/foreign" | grep -vx LOCK)" = file ] || fail "a directory that is not ours was changed"

echo "-- a store that another process holds"
mkfifo "$work/rows"
"$nephrite" import --store "$store" points - --format ndjson --batch-size 1 --json < "$work/rows" > "$work/acks" \
    2> "$work/errors" &
importer=$!
exec 3> "$work/rows"
echo '{"id":"c","vector":[1,1]}' >&3
until [ -n "$(acknowledged "$work/acks")" ]; do
    kill -0 "$importer" 2> /dev/null || fail "the importer died"
    sleep 0.05
done
run 75 count --store "$store" points
exec 3>&-
wait "$importer" || fail "the importer ended with $?"
importer=
run 0 count --store "$store" points
output 3

echo "-- kill -9 in the middle of an import"
for round in 1 2 3; do
    run 0 create --store "$store" "killed$round" --dimension 384
    "$nephrite" import --store "$store" "killed$round" "$data/base.fvecs" --records "$data/base.ndjson" \
        --batch-size 5 --json > "$work/acks" 2> "$work/errors" &
    importer=$!
    while [ "$(wc -l < "$work/acks")" -lt $((round * 100)) ] && kill -0 "$importer" 2> /dev/null; do :; done
    kill -9 "$importer" 2> /dev/null || true
    code=0
    { wait "$importer"; } 2> /dev/null || code=$?
    importer=
    [ "$code" = 137 ] || fail "the import was to be killed, but ended with $code"
    safe=$(acknowledged "$work/acks")
    run 0 count --store "$store" "killed$round"
    there=$(cat "$work/output")
    [ "$there" -ge "$safe" ] || fail "$safe rows were acknowledged, $there are there"
    [ $((there % 5)) = 0 ] || fail "$there rows: a batch of 5 is there in part"
    run 0 check --store "$store"
    last=$(sed -n "${safe}s/.*\"id\": *\"\([^\"]*\)\".*/\1/p" "$data/base.ndjson")
    run 0 search --store "$store" "killed$round" --like "$last" -k 1 --json
    like "\"ids\":\[\"$last\"\]"
    echo "   round $round: $safe acknowledged, $there there"
done

echo "-- delete, drop"
run 0 delete --store "$store" glosses "$first"
run 1 delete --store "$store" glosses "$first"
run 1 get --store "$store" glosses "$first"
run 0 count --store "$store" glosses
output 4999
for name in glosses points killed1 killed2 killed3; do run 0 drop --store "$store" "$name"; done
run 66 drop --store "$store" glosses
run 0 list --store "$store"
output ""

echo "-- damage is found and named"
run 0 import --store "$store" glosses "$data/base.fvecs" --records "$data/base.ndjson" --create
file=$store/glosses/vectors.jvdb
# One bit of the first vector, which lies where the header's data offset (bytes 40…47) says.
offset=$(od -An -t u8 -j 40 -N 8 "$file" | tr -d ' ')
[ "$offset" != 0 ] || offset=$(od -An -t u8 -j $((8192 + 40)) -N 8 "$file" | tr -d ' ')
printf '\x5a' | dd of="$file" bs=1 seek=$((offset + 1)) conv=notrunc status=none
run 65 check --store "$store" --json
like "\"kind\":\"checksum\",.*\"ids\":\[\"$first\"\]"
run 65 get --store "$store" glosses "$first"
run 0 count --store "$store" glosses
output 5000
echo "walkthrough: passed"
