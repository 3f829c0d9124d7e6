#!/bin/sh
# Makes one cluster of six nodes: the first three share the keys, and each of the others is the copy of one of them. Every step looks
# at what is there first, so it may be run again at any time, also after it was interrupted; a whole cluster stays as it is, whoever
# serves what by then.
#
#   REDIS_NODES  address:port of the six nodes, separated by spaces. Addresses and no names: nodes remember each other by address
#   SECRETS      the directory of the file redis-password  [default: /run/secrets]
#   DEADLINE     seconds until it gives up  [default: 60]
set -eu

REDISCLI_AUTH=$(cat "${SECRETS:-/run/secrets}/redis-password")
export REDISCLI_AUTH
give_up=$(($(date +%s) + ${DEADLINE:-60}))

# shellcheck disable=SC2086 # the list is words
set -- $REDIS_NODES
[ $# -eq 6 ] || { echo "REDIS_NODES: expected six nodes, not $#" >&2; exit 64; }

# A command to one node; what it answers, or nothing.
ask() {
    node=$1
    shift
    timeout 2 redis-cli --user myelin -h "${node%:*}" -p "${node##*:}" "$@" 2>/dev/null | tr -d '\r' || true
}

# One line of what a node says about the cluster.
info() {
    ask "$1" cluster info | sed -n "s/^$2://p"
}

# Waits until the rest of the arguments is a command that succeeds.
await() {
    what=$1
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$give_up" ] || { echo "gave up waiting: $what" >&2; exit 1; }
        sleep 0.2
    done
}

answers() { [ "$(ask "$1" ping)" = PONG ]; }
knows_all() { [ "$(info "$1" cluster_known_nodes)" = 6 ]; }
is_whole() { knows_all "$1" && [ "$(info "$1" cluster_state)" = ok ] && [ "$(info "$1" cluster_slots_assigned)" = 16384 ]; }
id_of() { ask "$1" cluster myid; }
# The first word: master or slave.
role_of() { ask "$1" role | head -n 1; }
has_slots() { ask "$1" cluster nodes | grep myself | grep -q ' connected [0-9]'; }
has_copy() { ask "$1" cluster replicas "$(id_of "$1")" | grep -q slave; }

for node in "$@"; do
    await "$node answers" answers "$node"
done

# Everybody meets the first, and through it all others.
for node in "$@"; do
    [ "$node" = "$1" ] || knows_all "$node" || ask "$1" cluster meet "${node%:*}" "${node##*:}" > /dev/null
done
for node in "$@"; do
    await "$node knows the others" knows_all "$node"
done

# The thirds, where nobody has them.
share() { has_slots "$1" || ask "$1" cluster addslotsrange "$2" "$3" > /dev/null; }
if [ "$(info "$1" cluster_slots_assigned)" != 16384 ]; then
    share "$1" 0 5460
    share "$2" 5461 10922
    share "$3" 10923 16383
fi
for node in "$@"; do
    await "all keys are served, as $node sees it" is_whole "$node"
done

# Who serves nothing and follows nobody becomes the copy of the first node that has none.
without_copy() {
    for candidate in "$@"; do
        if has_slots "$candidate" && ! has_copy "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}
# A copy that has not copied yet could not take over.
is_copy() { ask "$1" info replication | grep -q '^master_link_status:up'; }
follow() {
    [ "$(role_of "$1")" = slave ] || ask "$1" cluster replicate "$2" > /dev/null
    is_copy "$1"
}
for node in "$@"; do
    if ! has_slots "$node" && [ "$(role_of "$node")" = master ]; then
        master=$(without_copy "$@")
        [ -n "$master" ] || { echo "$node is left over: every part has a copy" >&2; exit 1; }
        # It may not have heard yet of the node that it is to follow, nor that one of it.
        await "$node follows $master" follow "$node" "$(id_of "$master")"
        await "$master knows its copy" has_copy "$master"
    fi
done
echo "the cluster is whole: $*"
