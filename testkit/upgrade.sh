#!/usr/bin/env bash
# A sidecar one version older beside today's: everything that the tests across two machines promise holds with the older one on either, and what it left
# on its disk is read. Run in the workspace; the older commit is the one before this, or MYELIN_OLDER, and its sidecar is built into target/older.
set -euo pipefail
older=$(git rev-parse --short "${MYELIN_OLDER:-HEAD^}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/older
if [ -z "${MYELIN_OLDER_BIN:-}" ]; then
    mkdir -p "$target"
    rm -rf "$target/source"
    git worktree prune
    git worktree add --quiet --detach "$target/source" "$older"
    trap 'git worktree remove --force "$target/source"' EXIT
    (cd "$target/source" && cargo build --quiet --locked --package myelin --target-dir "$target")
    export MYELIN_OLDER_BIN=$target/debug/myelin
fi
echo "older: commit $older, $("$MYELIN_OLDER_BIN" --version); today's: commit $(git describe --always --dirty)"
cargo test --quiet --package myelin-testkit --test older_upgrade -- --include-ignored --test-threads 1
for machine in 0 1; do
    echo "the older sidecar on machine $machine"
    MYELIN_OLDER_MACHINE=$machine cargo test --quiet --package myelin-testkit \
        --test across_requests --test across_topics --test across_pipelines -- --test-threads 1
done
