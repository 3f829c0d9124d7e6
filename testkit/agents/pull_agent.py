"""A PULL agent: prints each message."""
import argparse

import zmq

from lines import emit, end_with_parent, to_hex


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect")
    parser.add_argument("--bind")
    options = parser.parse_args()
    end_with_parent()

    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.setsockopt(zmq.LINGER, 0)
    if options.bind:
        socket.bind(options.bind)
    if options.connect:
        socket.connect(options.connect)
    emit("ready")
    while True:
        emit("message", frames=to_hex(socket.recv_multipart()))


if __name__ == "__main__":
    main()
