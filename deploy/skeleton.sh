#!/bin/sh
# Copies the manifests of the workspace in $1 to $2, with an empty program for every target. It builds all dependencies, and it only
# changes when a manifest does: an image layer made of it is used again for every change of our own sources.
set -eu

from=$1
to=$2
cd "$from"
find . -path ./target -prune -o \( -name Cargo.toml -o -name Cargo.lock -o -path './.cargo/*' \) -type f -print |
    while IFS= read -r file; do
        mkdir -p "$to/$(dirname "$file")"
        cp "$file" "$to/$file"
    done
# The roots of targets: Cargo looks for each of them, whatever is built.
find . -path ./target -prune -o -name '*.rs' -type f -print |
    grep -E '/(src/(lib|main)|src/bin/[^/]+|benches/[^/]+|examples/[^/]+|tests/[^/]+|build)\.rs$' |
    while IFS= read -r file; do
        mkdir -p "$to/$(dirname "$file")"
        echo 'fn main() {}' > "$to/$file"
    done
