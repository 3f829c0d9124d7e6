#!/usr/bin/env bash
# Each of these mistakes must be found by the crate's tests. Run in the workspace; builds each variant into a directory of its own.
set -u
missed=0
for mutant in ack_before_sync mark_ahead forget_ids resurrect_what_is_gone beyond_in_flight_max; do
    if RUSTFLAGS="--cfg myelin_mutant=\"$mutant\"" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/mutants" \
        cargo test --quiet -p myelin-store --lib >"${TMPDIR:-/tmp}/mutant-$mutant.log" 2>&1; then
        echo "$mutant: missed"
        missed=1
    elif grep -q "^test result: FAILED" "${TMPDIR:-/tmp}/mutant-$mutant.log"; then
        echo "$mutant: found"
    else
        echo "$mutant: not built, see ${TMPDIR:-/tmp}/mutant-$mutant.log"
        missed=1
    fi
done
exit $missed
