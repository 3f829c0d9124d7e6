"""A PUSH agent: sends `{"t": n}` as send_json does, with --pad two frames of that size, or what its test commands."""
import argparse

import zmq

from lines import commands, emit, from_hex


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect")
    parser.add_argument("--bind")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--pad", type=int, default=0)
    options = parser.parse_args()

    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.setsockopt(zmq.LINGER, 0)
    if options.bind:
        socket.bind(options.bind)
    if options.connect:
        socket.connect(options.connect)
    emit("ready")
    for number in range(options.count):
        if options.pad:
            socket.send_multipart([b"%d" % number, b"x" * options.pad])
        else:
            socket.send_json({"t": number})
    if options.count:
        emit("sent", count=options.count)
    for command in commands():
        for frames in command["send"]:
            socket.send_multipart(from_hex(frames))
        emit("sent", count=len(command["send"]))


if __name__ == "__main__":
    main()
