"""A ROUTER agent: sees [identity, empty, body] of a REQ, or [identity, body] of a DEALER, and answers the same way."""
import argparse
import json

import zmq

from lines import emit, end_with_parent, to_hex


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bind", required=True)
    parser.add_argument("--replies", type=int, default=1, help="answers to each request")
    parser.add_argument("--hold", type=int, default=1, help="requests to collect before answering them, last first")
    options = parser.parse_args()
    end_with_parent()

    socket = zmq.Context.instance().socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(options.bind)
    emit("ready")
    held = []
    while True:
        frames = socket.recv_multipart()
        # The identity differs on each run: how long it is, and what stands behind it, is the promise.
        emit("request", identity=frames[0].hex(), frames=to_hex(frames[1:]))
        held.append(frames)
        if len(held) < options.hold:
            continue
        for frames in reversed(held):
            for number in range(options.replies):
                body = json.dumps({"reply": number, "to": frames[-1].decode("utf-8", "replace")}).encode()
                socket.send_multipart(frames[:-1] + [body])
        held.clear()


if __name__ == "__main__":
    main()
