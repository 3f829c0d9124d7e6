"""The log of one peer of the crash test: a line is with the system before the peer does its next step."""
import os
import sys
import threading
import time


class Log:
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.lines = []

    def add(self, *words):
        self.lines.append(" ".join(str(word) for word in words))

    def write(self):
        if self.lines:
            os.write(self.file, ("\n".join(self.lines) + "\n").encode())
            self.lines = []


def now_ms():
    """Of the machine: the same clock for all its processes."""
    return time.monotonic_ns() // 1_000_000


class Stop:
    """Set by a line on standard input; the end of it is the end of this process."""

    def __init__(self):
        self.is_set = False
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        for _ in sys.stdin:
            self.is_set = True
        os._exit(0)
