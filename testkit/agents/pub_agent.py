"""A PUB agent. Without `--kind` it sends what its test commands; with `--kind` it publishes by itself, as status and audio agents do."""
import argparse
import hashlib
import itertools
import json
import os
import pickle
import threading
import time

import zmq

from lines import commands, emit, from_hex

AUDIO_BYTES = 38_701
AUDIO_PER_SECOND = 5


def message(kind, number):
    """The frames of one message of a kind."""
    document = json.dumps({"seq": number, "status": "running"})
    if kind == "json":
        return [document.encode()]
    if kind == "word":
        return [f"health Agent {document}".encode()]
    if kind == "word-colon":
        return [f"WAKE_WORD_EVENT: {document}".encode()]
    if kind == "two":
        return [b"status", document.encode()]
    if kind == "pickle":
        return [pickle.dumps({"type": "interrupt", "timestamp": time.time(), "seq": number})]
    return [audio(number)]


def audio(number):
    """A pickle of exactly the size of the real ones."""
    chunk = {"seq": number, "sample_rate": 16000, "audio": b""}
    chunk["audio"] = os.urandom(AUDIO_BYTES - len(pickle.dumps(chunk)))
    for _ in range(8):
        # The length fields of the pickle grow with what they count.
        surplus = len(pickle.dumps(chunk)) - AUDIO_BYTES
        if surplus == 0:
            break
        chunk["audio"] = chunk["audio"][:len(chunk["audio"]) - surplus]
    return pickle.dumps(chunk)


def publish(socket, options):
    interval = 1 / AUDIO_PER_SECOND if options.kind == "audio" else options.interval
    due = time.monotonic()
    for number in range(options.count) if options.count else itertools.count():
        frames = message(options.kind, number)
        socket.send_multipart(frames)
        emit("sent", seq=number, size=sum(map(len, frames)), digest=hashlib.sha256(b"".join(frames)).hexdigest())
        due += interval
        time.sleep(max(0.0, due - time.monotonic()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind")
    parser.add_argument("--connect")
    parser.add_argument("--kind", choices=["json", "word", "word-colon", "two", "pickle", "audio"])
    parser.add_argument("--interval", type=float, default=0.05)
    parser.add_argument("--count", type=int, default=0, help="messages; 0 is for ever")
    options = parser.parse_args()

    socket = zmq.Context.instance().socket(zmq.PUB)
    socket.setsockopt(zmq.LINGER, 0)
    if options.bind:
        socket.bind(options.bind)
    if options.connect:
        socket.connect(options.connect)
    emit("ready")
    if options.kind:
        threading.Thread(target=publish, args=(socket, options), daemon=True).start()
    for command in commands():
        # A socket belongs to one thread: commands are for agents without --kind.
        for frames in command["send"]:
            socket.send_multipart(from_hex(frames))
        emit("sent", count=len(command["send"]))


if __name__ == "__main__":
    main()
