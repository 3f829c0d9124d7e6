"""A monitor: polls each of its endpoints once per interval, spread evenly, as the monitors of the fleets do it.

Each poll has a socket of its own unless `--kept` says otherwise. An endpoint that falls silent, and one that answers again, is told at once; by command, what was
counted since the last time.
"""
import argparse
import json
import select
import sys
import time

import zmq

from lines import emit

REQUEST = json.dumps({"action": "ping"}).encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoints", type=json.loads, required=True)
    parser.add_argument("--every", type=float, required=True, help="seconds between two polls of an endpoint")
    parser.add_argument("--timeout-ms", type=int, default=1000)
    parser.add_argument("--kept", action="store_true", help="one socket per endpoint")
    options = parser.parse_args()

    context = zmq.Context.instance()
    sockets = {}
    silent = set()
    counted = {"polls": 0, "answered": 0, "bytes": 0, "late": 0}

    def poll(endpoint):
        socket = sockets.pop(endpoint, None)
        if socket is None:
            socket = context.socket(zmq.REQ)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, options.timeout_ms)
            socket.connect(endpoint)
        counted["polls"] += 1
        try:
            socket.send(REQUEST)
            counted["bytes"] += len(socket.recv())
        except zmq.Again:
            socket.close()
            if endpoint not in silent:
                silent.add(endpoint)
                emit("silent", endpoint=endpoint)
            return
        counted["answered"] += 1
        if endpoint in silent:
            silent.remove(endpoint)
            emit("answers", endpoint=endpoint)
        if options.kept:
            sockets[endpoint] = socket
        else:
            socket.close()

    emit("ready")
    pause = options.every / len(options.endpoints)
    due = time.monotonic()
    position = 0
    while True:
        wait = due - time.monotonic()
        if select.select([sys.stdin], [], [], max(0, wait))[0]:
            if not sys.stdin.readline():
                return
            emit("counted", **counted)
            counted.update(dict.fromkeys(counted, 0))
            continue
        if wait < -options.every:
            # This machine does not keep up, and the run is worth nothing.
            counted["late"] += 1
            due = time.monotonic()
        poll(options.endpoints[position])
        position = (position + 1) % len(options.endpoints)
        due += pause


if __name__ == "__main__":
    main()
