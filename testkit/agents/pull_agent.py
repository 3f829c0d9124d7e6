"""A PULL agent: prints each message, or with --take the first ones and then reads no more."""
import argparse
import threading

import zmq

from lines import emit, end_with_parent, to_hex


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect")
    parser.add_argument("--bind")
    parser.add_argument("--rcvhwm", type=int)
    parser.add_argument("--take", type=int)
    options = parser.parse_args()
    end_with_parent()

    socket = zmq.Context.instance().socket(zmq.PULL)
    socket.setsockopt(zmq.LINGER, 0)
    if options.rcvhwm is not None:
        socket.setsockopt(zmq.RCVHWM, options.rcvhwm)
    if options.bind:
        socket.bind(options.bind)
    if options.connect:
        socket.connect(options.connect)
    emit("ready")
    taken = 0
    while options.take is None or taken < options.take:
        emit("message", frames=to_hex(socket.recv_multipart()))
        taken += 1
    # Its library goes on as far as it can; the program does not.
    threading.Event().wait()


if __name__ == "__main__":
    main()
