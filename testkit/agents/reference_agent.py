"""One program behind two sets of sockets: clients reach one set directly, the other through a sidecar.

REP echoes, PULL only looks, PUB sends what its test commands. Everything that arrives is printed, with the set it came to.
"""
import argparse
import json
import sys

import zmq

from lines import emit, from_hex, to_hex


def main():
    parser = argparse.ArgumentParser()
    for name in ("direct", "behind"):
        for kind in ("rep", "pull", "pub"):
            parser.add_argument(f"--{name}-{kind}", required=True)
    options = vars(parser.parse_args())

    poller = zmq.Poller()
    sockets = {}
    for option, endpoint in options.items():
        where, kind = option.split("_")
        socket = zmq.Context.instance().socket({"rep": zmq.REP, "pull": zmq.PULL, "pub": zmq.PUB}[kind])
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(endpoint)
        sockets[socket] = (where, kind)
        if kind != "pub":
            poller.register(socket, zmq.POLLIN)
    publishers = {where: socket for socket, (where, kind) in sockets.items() if kind == "pub"}
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    emit("ready")
    while True:
        ready = dict(poller.poll())
        for socket, (where, kind) in sockets.items():
            if socket in ready:
                frames = socket.recv_multipart()
                emit("seen", where=where, kind=kind, frames=to_hex(frames))
                if kind == "rep":
                    socket.send_multipart(frames)
        if sys.stdin.fileno() in ready:
            line = sys.stdin.readline()
            if not line:
                return
            command = json.loads(line)
            for frames in command["publish"]:
                publishers[command["where"]].send_multipart(from_hex(frames))


if __name__ == "__main__":
    main()
