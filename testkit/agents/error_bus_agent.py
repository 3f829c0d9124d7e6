"""A publisher of the error bus, in one of its three dialects. Some bind the endpoint, others connect to it."""
import argparse
import json
import threading
import time

import zmq

from lines import commands, emit


def frames(dialect, number):
    body = json.dumps({"error_type": "test", "severity": "ERROR", "seq": number})
    if dialect == "one":
        return [f"ERROR:{body}".encode()]
    return [b"ERROR" if dialect == "two" else b"ERROR:", body.encode()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dialect", choices=["one", "two", "two-colon"], required=True)
    parser.add_argument("--bind")
    parser.add_argument("--connect")
    parser.add_argument("--interval", type=float, default=0.05)
    options = parser.parse_args()

    socket = zmq.Context.instance().socket(zmq.PUB)
    socket.setsockopt(zmq.LINGER, 0)
    if options.bind:
        socket.bind(options.bind)
    if options.connect:
        socket.connect(options.connect)
    emit("ready")

    def report():
        number = 0
        while True:
            socket.send_multipart(frames(options.dialect, number))
            number += 1
            time.sleep(options.interval)

    threading.Thread(target=report, daemon=True).start()
    for _ in commands():
        pass


if __name__ == "__main__":
    main()
