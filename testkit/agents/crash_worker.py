"""Works on messages, badly: it acks most, gives back some, gives up some, forgets some, and now and then dies with its hands full.

D key sequence delivery server ms whole  a message is here, before anything is done with it
A sequence delivery server took_ms       its ack is confirmed
N sequence delivery server               so is its nak
T sequence delivery server               so is its term
X word sequence delivery server code     the word was refused
O word sequence delivery server          the word was sent and the connection ended before its answer
K server messages                        this worker dies now, with so many messages in hand

With --drain it acks everything, until the stream is empty, and then lists the dead letters:

M subject key reason whole
"""
import argparse
import json
import os
import random
import sys
import time
import zlib

from crash_log import Log, Stop, now_ms
from nats_wire import Connection, Lost, publish

API = "$MYELIN.API."


class Worker:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.log = Log(options.log)
        self.inbox = "_INBOX.%s." % options.name
        self.asked = 0
        self.said = 0
        self.words = {}

    def next(self, connection):
        self.asked += 1
        ask = {"max": self.random.choice((1, 8, 64)) if not self.options.drain else 256, "wait_ms": 500}
        connection.send(publish(API + "CONSUMER.NEXT.jobs.workers", "%sm.%d" % (self.inbox, self.asked), {}, json.dumps(ask).encode()))

    def deal_with(self, connection, messages):
        """Logs deliveries, then answers them; logs what was answered to earlier words."""
        server, words, is_end = connection.server_id, [], False
        for message in messages:
            if message.subject.startswith(self.inbox + "w."):
                self.confirmed(message, server)
            elif "Myelin-Status" in message.headers or not message.reply:
                is_end = True
                if "Myelin-Status" not in message.headers:
                    # Refused. Who asks again at once asks for nothing else.
                    time.sleep(0.1)
            else:
                sequence, delivery = message.headers["Myelin-Sequence"], message.headers["Myelin-Deliveries"]
                key, whole = check(message.payload)
                self.log.add("D", key, sequence, delivery, server, now_ms(), whole)
                words.append((message.reply, sequence, delivery))
        self.log.write()
        if words and not self.options.drain and self.random.random() < self.options.dies:
            self.log.add("K", server, len(words))
            self.log.write()
            os._exit(0)
        data = []
        for settle, sequence, delivery in words:
            word = self.word()
            if word:
                # A server that has forgotten a delivery makes it again under the same number: two words.
                self.said += 1
                token = "%sw.%d.%s.%s" % (self.inbox, self.said, sequence, delivery)
                self.words[token] = (word[0], now_ms())
                data.append(publish(settle, token, {}, word[1]))
        connection.send(b"".join(data))
        return is_end

    def word(self):
        dice = 1.0 if self.options.drain else self.random.random()
        if dice < 0.10:
            return "N", b'-NAK {"delay_ms": %d, "error": "not now"}' % self.random.choice((0, 0, 20, 300))
        if dice < 0.12:
            return "T", b"+TERM cannot be done"
        if dice < 0.125:
            return None
        return "A", b"+ACK"

    def confirmed(self, message, server):
        sequence, delivery = message.subject.rsplit(".", 2)[1:]
        word, sent_ms = self.words.pop(message.subject, ("?", 0))
        if message.payload != b"+OK":
            code = message.json()["error"]["code"] if message.payload else "no_responders"
            self.log.add("X", word, sequence, delivery, server, code)
        elif word == "A":
            self.log.add("A", sequence, delivery, server, now_ms() - sent_ms)
        else:
            self.log.add(word, sequence, delivery, server)

    def serve(self, connection, stop):
        connection.subscribe(self.inbox + ">")
        self.next(connection)
        asked = time.monotonic()
        while not stop.is_set:
            if self.deal_with(connection, connection.read(0.1)) or time.monotonic() - asked > 10:
                if self.options.drain and self.is_empty(connection):
                    return
                self.next(connection)
                asked = time.monotonic()

    def is_empty(self, connection):
        told = one(connection, API + "STREAM.INFO.jobs", self.inbox + "i", {}, lambda other: self.deal_with(connection, [other]))
        return told.json()["messages"] == 0

    def run(self, stop):
        while not stop.is_set:
            try:
                connection = Connection(self.options.address)
            except Lost:
                time.sleep(0.005)
                continue
            try:
                self.serve(connection, stop)
                if self.options.drain:
                    self.letters(connection)
                    return
            except Lost as lost:
                if self.options.drain:
                    sys.exit("the sidecar is gone: %s" % lost)
                # What the server wrote before it died counts as far as it came.
                self.last_words(connection)
            connection.close()

    def last_words(self, connection):
        server = connection.server_id
        for message in connection.messages:
            if message.subject.startswith(self.inbox + "w."):
                self.confirmed(message, server)
            elif message.reply:
                key, whole = check(message.payload)
                headers = message.headers
                self.log.add("D", key, headers["Myelin-Sequence"], headers["Myelin-Deliveries"], server, now_ms(), whole)
        for token, (word, _) in self.words.items():
            sequence, delivery = token.rsplit(".", 2)[1:]
            self.log.add("O", word, sequence, delivery, server)
        self.words.clear()
        self.log.write()

    def letters(self, connection):
        start = 0
        while True:
            ask = {"from": start, "max": 4096}
            answer = one(connection, API + "STREAM.SEQUENCES.DLQ", self.inbox + "l", ask, None).json()
            sequences = answer.get("sequences", [])
            for sequence in sequences:
                letter = one(connection, API + "STREAM.GET.DLQ", self.inbox + "l", {"sequence": sequence}, None).json()
                headers = dict(letter["headers"])
                key, whole = check((letter["payload"] or "").encode())
                self.log.add("M", letter["subject"], key, headers.get("Myelin-Dead-Reason", "?"), whole)
            self.log.write()
            if not sequences:
                return
            start = sequences[-1] + 1


def one(connection, subject, inbox, body, others):
    """Asks and waits for the answer; what else comes goes to `others`."""
    connection.send(publish(subject, inbox, {}, json.dumps(body).encode()))
    found = None
    end = time.monotonic() + 10
    while found is None and time.monotonic() < end:
        for message in connection.read(1.0):
            if message.subject == inbox:
                found = message
            elif others:
                others(message)
    if found is None:
        raise Lost("no answer to " + subject)
    return found


def check(payload):
    """The key of a message, and whether the rest of it is what was sent with it."""
    words = payload.split(b" ", 2)
    if len(words) != 3:
        return "?", 0
    return words[0].decode(), int(words[1] == b"%d" % zlib.crc32(words[2]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dies", type=float, default=0.0)
    parser.add_argument("--setup", help="JSON: make the stream and its consumer and end")
    parser.add_argument("--drain", action="store_true")
    options = parser.parse_args()
    if options.setup:
        setup(options)
    else:
        Worker(options).run(Stop())


def setup(options):
    connection = Connection(options.address)
    connection.subscribe("_INBOX.setup")
    for verb, body in json.loads(options.setup):
        told = one(connection, API + verb, "_INBOX.setup", body, None).json()
        if "error" in told:
            sys.exit("%s: %s" % (verb, told["error"]))


main()
