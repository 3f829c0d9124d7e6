"""Asks servers of a NATS cluster which of them leads a stream, or `stream.consumer` for which somebody waits, and prints its name."""
import json
import sys
import time

from nats_wire import Connection, Lost, publish

INBOX = "_INBOX.leader"


def leader(address, what):
    kind = "CONSUMER" if "." in what else "STREAM"
    connection = Connection(address)
    try:
        connection.subscribe(INBOX)
        connection.send(publish("$JS.API.%s.INFO.%s" % (kind, what), INBOX, {}, b""))
        for message in connection.read(2.0):
            told = json.loads(message.payload or b"{}")
            if kind == "CONSUMER" and not told.get("num_waiting"):
                return ""
            return told.get("cluster", {}).get("leader", "")
    finally:
        connection.close()
    return ""


def main():
    what, addresses = sys.argv[1], sys.argv[2:]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for address in addresses:
            try:
                name = leader(address, what)
            except Lost:
                continue
            if name:
                print(name)
                return
        time.sleep(0.05)
    sys.exit("nobody leads " + what)


main()
