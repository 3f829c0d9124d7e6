"""Publishes durably, many at a time, through as many deaths of the sidecar as there are, and logs what it was told.

S key ms id|- ttl_ms delay_ms server     is about to be sent, once more if it was before
A key ms sequence duplicate server       the receipt came
E key ms code server                     it was refused
U key                                    nobody will ever know: it has no id, so it is not sent again
L server outstanding                     the connection ended, and this many receipts were open
"""
import argparse
import collections
import random
import time
import zlib

from crash_log import Log, Stop, now_ms
from nats_wire import Connection, Lost, publish

WINDOW = 64
# A request that nobody answers was dropped by the sidecar, which had too many.
ANSWER_MS_MAX = 4000
# Receipts of ids that are sent again after a restart, to be told that they are duplicates.
REMEMBERED = 24
REMEMBERED_MS = 8000


class Publisher:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.log = Log(options.log)
        self.inbox = "_INBOX.%s." % options.name
        self.number = 0
        self.outstanding = {}
        self.recent = collections.deque(maxlen=REMEMBERED)

    def make(self):
        self.number += 1
        key = "%s-%d" % (self.options.name, self.number)
        # Plain ones stay until somebody is done with them, and have their place from the start.
        dice = 1.0 if self.options.plain else self.random.random()
        ttl = self.random.randrange(50, 3000) if dice < 0.05 else 0
        delay = self.random.randrange(50, 2000) if 0.05 <= dice < 0.12 else 0
        padding = bytes(self.random.randrange(97, 123) for _ in range(8)) * self.random.choice((0, 1, 4, 25, 120))
        payload = b"%s %d %s" % (key.encode(), zlib.crc32(padding), padding)
        return {"key": key, "has_id": self.random.random() < 0.85, "ttl": ttl, "delay": delay, "payload": payload}

    def bytes_of(self, message, server):
        key = message["key"]
        headers = {}
        if message["has_id"]:
            headers["Myelin-Msg-Id"] = key
        if message["ttl"]:
            headers["Myelin-TTL"] = "%dms" % message["ttl"]
        if message["delay"]:
            headers["Myelin-Delay"] = "%dms" % message["delay"]
        message["sent_ms"] = now_ms()
        self.outstanding[key] = message
        self.log.add("S", key, message["sent_ms"], "id" if message["has_id"] else "-", message["ttl"], message["delay"], server)
        subject = "$MYELIN.API.STREAM.PUB.jobs.%d" % (zlib.crc32(key.encode()) % 8)
        return publish(subject, self.inbox + key, headers, message["payload"])

    def send(self, connection, messages):
        data = b"".join(self.bytes_of(message, connection.server_id) for message in messages)
        self.log.write()
        connection.send(data)

    def take(self, connection, answers):
        for answer in answers:
            key = answer.subject[len(self.inbox):]
            message = self.outstanding.pop(key, None)
            told = answer.json() if answer.payload else {"error": {"code": "no_responders"}}
            if "error" in told:
                self.log.add("E", key, now_ms(), told["error"]["code"], connection.server_id)
                continue
            self.log.add("A", key, now_ms(), told["sequence"], int(told["duplicate"]), connection.server_id)
            if message and message["has_id"]:
                message["receipt_ms"] = now_ms()
                self.recent.append(message)
        self.log.write()

    def again(self):
        """What has to be sent again after a restart, and what may be."""
        unknown, self.outstanding = list(self.outstanding.values()), {}
        for message in unknown:
            if not message["has_id"]:
                self.log.add("U", message["key"])
        known = [message for message in self.recent if now_ms() - message["receipt_ms"] < REMEMBERED_MS]
        self.recent.clear()
        return [message for message in unknown if message["has_id"]] + known

    def serve(self, connection, stop):
        connection.subscribe(self.inbox + "*")
        self.send(connection, self.again())
        due = time.monotonic()
        while self.outstanding or not stop.is_set:
            if not stop.is_set and len(self.outstanding) < WINDOW and time.monotonic() >= due:
                burst = self.random.randrange(1, 9)
                due = max(due, time.monotonic() - 0.05) + burst / self.options.rate
                self.send(connection, [self.make() for _ in range(burst)])
            pause = max(0.0, due - time.monotonic()) if len(self.outstanding) < WINDOW else 0.05
            self.take(connection, connection.read(min(pause, 0.05)))
            silent = [m for m in self.outstanding.values() if now_ms() - m["sent_ms"] > ANSWER_MS_MAX]
            for message in silent:
                del self.outstanding[message["key"]]
                if not message["has_id"]:
                    self.log.add("U", message["key"])
            self.send(connection, [message for message in silent if message["has_id"]])

    def run(self, stop):
        while self.outstanding or not stop.is_set:
            try:
                connection = Connection(self.options.address)
            except Lost:
                time.sleep(0.005)
                continue
            try:
                self.serve(connection, stop)
            except Lost:
                # What the server wrote before it died is in messages that were not looked at.
                self.take(connection, connection.messages)
                self.log.add("L", connection.server_id, len(self.outstanding))
                self.log.write()
            connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--plain", action="store_true", help="no TTL, no delay")
    Publisher(parser.parse_args()).run(Stop())


main()
