#!/usr/bin/env bash
# Each of these mistakes of the store must be found by the judge of the crash test. Run in the workspace; builds a sidecar with each, in a
# directory of its own. Only mistakes that the end of a process reveals: those that the end of power reveals are in bus/store/mutants.sh.
#
# usage: testkit/mutants.sh            all of them
#        testkit/mutants.sh NAME …     these
set -u
missed=0
target="${CARGO_TARGET_DIR:-$PWD/target}"
mutants="$target/mutants"
mkdir -p "$mutants"
if [ $# -eq 0 ]; then set -- forget_ids forget_acks ack_from_memory; fi
cargo test --quiet -p myelin-testkit --test streams_kill9 --no-run || exit 1
for mutant in "$@"; do
    log="$mutants/$mutant.log"
    # A wrapper of the compiler for each, so that Cargo keeps what they compile apart and the dependencies are compiled once.
    wrapper="$mutants/$mutant.sh"
    cat >"$wrapper" <<END
#!/bin/sh
case " \$* " in
*" --crate-name myelin_store "*) exec "\$@" --cfg 'myelin_mutant="$mutant"' ;;
*) exec "\$@" ;;
esac
END
    chmod +x "$wrapper"
    if ! RUSTC_WORKSPACE_WRAPPER="$wrapper" CARGO_TARGET_DIR="$mutants" cargo build --quiet -p myelin >"$log" 2>&1; then
        echo "$mutant: not built, see $log"
        missed=1
    elif MYELIN_BIN="$mutants/debug/myelin" cargo test --quiet -p myelin-testkit --test streams_kill9 >"$log" 2>&1; then
        echo "$mutant: missed"
        missed=1
    elif grep -q "BROKEN" "$log"; then
        echo "$mutant: found"
        grep "BROKEN" "$log"
    else
        echo "$mutant: something else failed, see $log"
        missed=1
    fi
done
exit $missed
