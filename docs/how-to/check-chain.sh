#!/bin/sh
# Check a chain that `amiss results export STORE FILE.chain` wrote, without Amiss: sh check-chain.sh FILE.chain
#
# Each line is "seq prev hash body". hash must be the SHA-256 of prev and body, prev the hash of the line before
# (64 zeros at first), and seq count from 1. The hash that is printed at the end is the head: compare it with one that
# was kept elsewhere, such as in a result file, which only then shows that no line was cut off.
set -eu
before=0000000000000000000000000000000000000000000000000000000000000000
count=0
while IFS=' ' read -r seq prev hash body; do
    count=$((count + 1))
    found=$(printf '%s%s' "$prev" "$body" | sha256sum | cut -c 1-64)
    if [ "$seq" != "$count" ] || [ "$prev" != "$before" ] || [ "$hash" != "$found" ]; then
        echo "line $count: event $seq is not what was written, or not in its place" >&2
        exit 1
    fi
    before=$hash
done < "$1"
echo "$count events, head $before"
