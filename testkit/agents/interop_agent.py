"""One socket of one type that says or expects the same two frames as every other implementation does."""
import argparse
import threading
import time

import zmq
from zmq.utils import z85

from lines import emit, end_with_parent, to_hex

FRAMES = [b"hello", b"\x00\xff"]


def admit(context, options):
    """Answers what libzmq asks of a server (ZAP, RFC 27) for the one client that may come in."""
    door = context.socket(zmq.REP)
    door.bind("inproc://zeromq.zap.01")
    plain = [options.user.encode(), options.password.encode()]
    # A REQ of libzmq takes the name of its client for a malformed reply and closes, so nobody is named to it.
    name = b"" if options.type == "REQ" else plain[0]

    def run():
        while True:
            version, request, _, _, _, mechanism, *proof = door.recv_multipart()
            known = plain if mechanism == b"PLAIN" else [z85.decode(options.peer_key.encode())]
            status = b"200" if proof == known else b"400"
            door.send_multipart([version, request, status, b"", name, b""])
    threading.Thread(target=run, daemon=True).start()


def secure(context, socket, options):
    """The end that binds is the server, which asks; the other one proves."""
    is_server = options.attach == "bind"
    if is_server and options.mechanism != "null":
        admit(context, options)
    if options.mechanism == "plain" and is_server:
        socket.plain_server = True
    elif options.mechanism == "plain":
        socket.plain_username, socket.plain_password = options.user.encode(), options.password.encode()
    elif options.mechanism == "curve":
        socket.curve_publickey, socket.curve_secretkey = options.public_key.encode(), options.secret_key.encode()
        if is_server:
            socket.curve_server = True
        else:
            socket.curve_serverkey = options.peer_key.encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", required=True)
    parser.add_argument("--attach", choices=["bind", "connect"], required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--mechanism", choices=["null", "plain", "curve"], default="null")
    for secret in ("user", "password", "public-key", "secret-key", "peer-key"):
        parser.add_argument("--" + secret, default="")
    options = parser.parse_args()
    end_with_parent()

    context = zmq.Context.instance()
    if options.mechanism == "curve" and not zmq.has("curve"):
        emit("lacks")
        return time.sleep(3600)
    socket = context.socket(getattr(zmq, options.type))
    socket.setsockopt(zmq.LINGER, 0)
    secure(context, socket, options)
    if options.type == "SUB":
        socket.setsockopt(zmq.SUBSCRIBE, b"hello")
    getattr(socket, options.attach)(options.endpoint)
    emit("ready", library=f"libzmq {zmq.zmq_version()} (pyzmq {zmq.__version__})")
    if options.type == "XSUB":
        socket.send(b"\x01hello")
    if options.type in ("REQ", "DEALER", "PUSH", "PAIR"):
        socket.send_multipart([b""] * (options.type == "DEALER") + FRAMES)
    if options.type in ("REQ", "DEALER", "SUB", "XSUB", "PULL", "PAIR"):
        emit("got", frames=to_hex(socket.recv_multipart()))
    while options.type in ("REP", "ROUTER"):
        socket.send_multipart(socket.recv_multipart())
    while True:
        if options.type in ("PUB", "XPUB"):
            socket.send_multipart(FRAMES)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
