#!/bin/sh
# Starts a node with passwords from files, so that neither its configuration nor its command line has them.
#
#   NATS_NAME   the name of this node
#   NATS_STORE  where it keeps messages  [default: /data]
#   NATS_PEERS  host:port of every node, separated by spaces; a node that finds itself among them leaves itself out
#   SECRETS     the directory of the files nats-password and nats-route-password  [default: /run/secrets]
#
# Arguments are passed on to nats-server.
set -eu

secrets=${SECRETS:-/run/secrets}
password=$(cat "$secrets/nats-password")
route_password=$(cat "$secrets/nats-route-password")

routes=
for peer in $NATS_PEERS; do
    routes="$routes\"nats://route:$route_password@$peer\", "
done

# Values are read as the configuration is: in quotes, a password of digits stays a text.
export NATS_NAME="\"$NATS_NAME\""
export NATS_STORE="\"${NATS_STORE:-/data}\""
export NATS_PASSWORD="\"$password\""
export NATS_ROUTE_PASSWORD="\"$route_password\""
export NATS_ROUTES="[$routes]"
exec nats-server --config "${NATS_CONFIG:-/etc/nats/nats.conf}" "$@"
