"""One socket of one type that says or expects the same two frames as every other implementation does."""
import argparse
import time

import zmq

from lines import emit, end_with_parent, to_hex

FRAMES = [b"hello", b"\x00\xff"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", required=True)
    parser.add_argument("--attach", choices=["bind", "connect"], required=True)
    parser.add_argument("--endpoint", required=True)
    options = parser.parse_args()
    end_with_parent()

    socket = zmq.Context.instance().socket(getattr(zmq, options.type))
    socket.setsockopt(zmq.LINGER, 0)
    if options.type == "SUB":
        socket.setsockopt(zmq.SUBSCRIBE, b"hello")
    getattr(socket, options.attach)(options.endpoint)
    emit("ready")
    if options.type == "XSUB":
        socket.send(b"\x01hello")
    if options.type in ("REQ", "DEALER", "PUSH"):
        socket.send_multipart([b""] * (options.type == "DEALER") + FRAMES)
    if options.type in ("REQ", "DEALER", "SUB", "XSUB", "PULL"):
        emit("got", frames=to_hex(socket.recv_multipart()))
    while options.type in ("REP", "ROUTER"):
        socket.send_multipart(socket.recv_multipart())
    while True:
        if options.type in ("PUB", "XPUB"):
            socket.send_multipart(FRAMES)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
