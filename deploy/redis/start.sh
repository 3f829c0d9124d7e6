#!/bin/sh
# Starts a node with passwords from files. They go in through standard input, so that no list of processes and no file has them.
#
#   SECRETS       the directory of the files redis-password and redis-replica-password  [default: /run/secrets]
#   REDIS_CONFIG  the rest of the configuration  [default: /etc/redis/redis.conf]
#   REDIS_DATA    where the node keeps what it knows  [default: /data]
#
# Arguments are more lines of the configuration.
set -eu

secrets=${SECRETS:-/run/secrets}
password=$(cat "$secrets/redis-password")
replica_password=$(cat "$secrets/redis-replica-password")

cd "${REDIS_DATA:-/data}"
more=
for line in "$@"; do
    more="$more$line
"
done

# Sidecars and who forms the cluster are `myelin`; copies may follow their node and nothing else; nobody is without a name.
exec redis-server - <<END
$(cat "${REDIS_CONFIG:-/etc/redis/redis.conf}")
user default off
user myelin on >$password ~* &* +@all
user replica on >$replica_password +psync +replconf +ping
masteruser replica
masterauth $replica_password
$more
END
