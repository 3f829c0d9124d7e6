"""A caller: a fresh REQ per call, LINGER 0, RCVTIMEO, closed on timeout.

By command it makes one call at a time and prints the reply. With `--requests` it runs many callers, each on a thread,
and verifies that each reply carries its own token.
"""
import argparse
import json
import threading
import time

import zmq

from lines import commands, emit, from_hex, to_hex


def open_socket(endpoint, timeout_ms):
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
    socket.setsockopt(zmq.SNDTIMEO, timeout_ms)
    socket.connect(endpoint)
    return socket


class Kept:
    """Sockets that a command asked to keep, by name."""

    def __init__(self):
        self.sockets = {}

    def call(self, command):
        timeout_ms = command.get("timeout_ms", 5000)
        name = command.get("socket")
        socket = self.sockets.pop(name, None) or open_socket(command["endpoint"], timeout_ms)
        began = time.monotonic()
        healthy = False
        try:
            socket.send_multipart(from_hex(command["send"]))
            emit("reply", frames=to_hex(socket.recv_multipart()), ms=int((time.monotonic() - began) * 1000))
            healthy = True
        except zmq.Again:
            emit("silence", ms=int((time.monotonic() - began) * 1000))
        finally:
            if name and healthy:
                self.sockets[name] = socket
            else:
                socket.close()


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.next = 0
        self.answered = 0
        self.silent = 0
        self.wrong = []

    def take(self, limit):
        with self.lock:
            number = self.next
            self.next += 1
            return number if number < limit else None


def load(options, tally, client):
    while True:
        number = tally.take(options.requests)
        if number is None:
            return
        token = f"{client}-{number}"
        socket = open_socket(options.endpoint[number % len(options.endpoint)], options.timeout_ms)
        try:
            socket.send_json({"action": "token", "token": token})
            reply = socket.recv_json()
            with tally.lock:
                if reply.get("token") == token:
                    tally.answered += 1
                else:
                    tally.wrong.append([token, reply])
        except zmq.Again:
            with tally.lock:
                tally.silent += 1
        finally:
            socket.close()
        if (number + 1) % 100 == 0:
            emit("progress", done=number + 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", action="append", default=[])
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--timeout-ms", type=int, default=5000)
    options = parser.parse_args()

    emit("ready")
    if options.requests:
        tally = Tally()
        callers = [threading.Thread(target=load, args=(options, tally, client)) for client in range(options.clients)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        emit("done", answered=tally.answered, silent=tally.silent, wrong=tally.wrong)
        return
    kept = Kept()
    for command in commands():
        kept.call(command)


if __name__ == "__main__":
    main()
