"""JSON lines between an agent and its test: events go out, commands come in."""
import json
import os
import sys
import threading

_lock = threading.Lock()


def emit(event, **fields):
    """One line per event; threads never mix their lines."""
    line = json.dumps({"event": event, **fields})
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def to_hex(frames):
    return [bytes(frame).hex() for frame in frames]


def from_hex(frames):
    return [bytes.fromhex(frame) for frame in frames]


def commands():
    """Commands of the test, until it closes our standard input."""
    for line in sys.stdin:
        if line.strip():
            yield json.loads(line)


def end_with_parent():
    """An agent without commands ends when its test has ended, however that went."""
    def watch():
        for _ in sys.stdin:
            pass
        os._exit(0)
    threading.Thread(target=watch, daemon=True).start()
