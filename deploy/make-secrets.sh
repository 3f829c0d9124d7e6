#!/bin/sh
# Writes a random password for each user of docker-compose.yml into deploy/secrets, where there is none yet.
#
#   sh deploy/make-secrets.sh [DIRECTORY]
set -eu

directory=${1:-$(dirname "$0")/secrets}
mkdir -p "$directory"
# Only its owner enters the directory. The files in it are readable, because each container sees its own of them under another user.
chmod 700 "$directory"
for name in nats-password nats-route-password redis-password redis-replica-password grafana-password; do
    if [ ! -s "$directory/$name" ]; then
        password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
        [ ${#password} -eq 48 ] || { echo "cannot read /dev/urandom" >&2; exit 1; }
        printf '%s\n' "$password" > "$directory/$name"
        chmod 644 "$directory/$name"
        echo "made $directory/$name"
    fi
done
