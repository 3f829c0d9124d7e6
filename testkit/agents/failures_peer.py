"""One peer of the failure proof: calls, publishes, listens, pushes or pulls, at a steady pace, and logs what it did and what it saw.

S id ms      it is about to be sent (a push: it was taken from us)
R id ms      it is here: the reply with this token, the message with this number
T id ms      the caller waits for this reply no longer
X ms text    something is here that nobody sent
"""
import argparse
import json
import time
import zlib

import zmq

from crash_log import Log, Stop, now_ms

# Replies that come later than this are silence to the caller.
REPLY_MS_MAX = 1000
# How often a peer that waits looks whether it shall stop.
LOOK_MS = 100


class Peer:
    def __init__(self, options):
        self.options = options
        self.log = Log(options.log)
        self.stop = Stop()
        self.number = 0

    def open(self, kind):
        socket = zmq.Context.instance().socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, LOOK_MS)
        socket.setsockopt(zmq.SNDTIMEO, LOOK_MS)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(self.options.endpoint)
        return socket

    def note(self, *words):
        self.log.add(*words)
        self.log.write()

    def next(self):
        self.number += 1
        time.sleep(1 / self.options.rate)
        return "%s-%d" % (self.options.name, self.number)

    # -- requests

    def req(self):
        """A fresh socket after each silence, as callers with RCVTIMEO and LINGER 0 do."""
        socket = self.open(zmq.REQ)
        while not self.stop.is_set:
            token = self.next()
            self.note("S", token, now_ms())
            try:
                socket.send_json({"action": "token", "token": token})
                is_answered = self.replies(socket, token)
            except zmq.Again:
                is_answered = False
            if not is_answered:
                self.note("T", token, now_ms())
                socket.close()
                socket = self.open(zmq.REQ)

    def dealer(self):
        """One socket for all calls: it would see a reply that comes late, twice, or for somebody else."""
        socket = self.open(zmq.DEALER)
        while not self.stop.is_set:
            token = self.next()
            self.note("S", token, now_ms())
            try:
                socket.send_multipart([b"", json.dumps({"action": "token", "token": token}).encode()])
                is_answered = self.replies(socket, token)
            except zmq.Again:
                is_answered = False
            if not is_answered:
                self.note("T", token, now_ms())
        end = now_ms() + 3 * REPLY_MS_MAX
        while now_ms() < end:
            self.replies(socket, None, LOOK_MS)

    def replies(self, socket, token, patience_ms=REPLY_MS_MAX):
        """Logs every reply until the one to this token is among them."""
        end = now_ms() + patience_ms
        while now_ms() < end:
            try:
                frames = socket.recv_multipart()
            except zmq.Again:
                continue
            try:
                found = json.loads(frames[-1])["token"]
            except (ValueError, KeyError, TypeError):
                self.note("X", now_ms(), frames[-1][:200].hex())
                continue
            self.note("R", found, now_ms())
            if found == token:
                return True
        return False

    # -- messages

    def pub(self):
        socket = self.open(zmq.PUB)
        while not self.stop.is_set:
            key = self.next()
            self.note("S", key, now_ms())
            socket.send_multipart(body(key))

    def push(self):
        socket = self.open(zmq.PUSH)
        while not self.stop.is_set:
            key = self.next()
            while True:
                try:
                    socket.send_multipart(body(key))
                except zmq.Again:
                    # Held back. What was not taken was not sent.
                    if self.stop.is_set:
                        return
                    continue
                self.note("S", key, now_ms())
                break
        # What libzmq has yet to send it sends: the test says when everything has come, by closing our standard input.
        while True:
            time.sleep(1)

    def sub(self):
        self.take(zmq.SUB)

    def pull(self):
        self.take(zmq.PULL)

    def take(self, kind):
        socket = self.open(kind)
        while not self.stop.is_set:
            try:
                frames = socket.recv_multipart()
            except zmq.Again:
                continue
            key = frames[0].decode("ascii", "replace")
            if frames == body(key):
                self.note("R", key, now_ms())
            else:
                self.note("X", now_ms(), b"|".join(frames)[:200].hex())


def body(key):
    """Three frames that tell whether they belong together."""
    return [key.encode(), b"", b"%d" % zlib.crc32(key.encode())]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", required=True, choices=["req", "dealer", "pub", "sub", "push", "pull"])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--rate", type=float, default=20.0)
    options = parser.parse_args()
    getattr(Peer(options), options.role)()


main()
