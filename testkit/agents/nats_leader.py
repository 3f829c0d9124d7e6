"""Asks servers of a NATS cluster which of them leads a stream, and prints its name."""
import json
import sys
import time

from nats_wire import Connection, Lost, publish

INBOX = "_INBOX.leader"


def leader(address, stream):
    connection = Connection(address)
    try:
        connection.subscribe(INBOX)
        connection.send(publish("$JS.API.STREAM.INFO." + stream, INBOX, {}, b""))
        for message in connection.read(2.0):
            return json.loads(message.payload or b"{}").get("cluster", {}).get("leader", "")
    finally:
        connection.close()
    return ""


def main():
    stream, addresses = sys.argv[1], sys.argv[2:]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for address in addresses:
            try:
                name = leader(address, stream)
            except Lost:
                continue
            if name:
                print(name)
                return
    sys.exit("nobody leads " + stream)


main()
