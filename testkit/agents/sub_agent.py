"""A SUB agent: prints each message, in hex or as a digest. Commands change its subscriptions."""
import argparse
import hashlib
import sys

import zmq

from lines import emit, to_hex


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", action="append", default=[])
    parser.add_argument("--bind")
    parser.add_argument("--prefix", action="append", help="none given: the empty prefix, as every real agent")
    parser.add_argument("--digest", action="store_true", help="print size and digest instead of the bytes")
    options = parser.parse_args()

    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    for prefix in options.prefix if options.prefix is not None else [""]:
        socket.setsockopt_string(zmq.SUBSCRIBE, prefix)
    if options.bind:
        socket.bind(options.bind)
    for endpoint in options.connect:
        socket.connect(endpoint)
    emit("ready")

    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    while True:
        ready = dict(poller.poll())
        if socket in ready:
            frames = socket.recv_multipart()
            if options.digest:
                body = b"".join(frames)
                emit("message", size=len(body), digest=hashlib.sha256(body).hexdigest())
            else:
                emit("message", frames=to_hex(frames))
        if sys.stdin.fileno() in ready:
            line = sys.stdin.readline()
            if not line:
                return
            verb, _, prefix = line.strip().strip('"').partition(" ")
            socket.setsockopt_string(zmq.SUBSCRIBE if verb == "subscribe" else zmq.UNSUBSCRIBE, prefix)
            emit("changed", verb=verb, prefix=prefix)


if __name__ == "__main__":
    main()
