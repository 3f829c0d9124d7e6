"""A REQ with HEARTBEAT_IVL 200 ms. libzmq drops a connection whose PONG stays away; the monitor would show it."""
import argparse
import json
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from lines import commands, emit

INTERVAL_MS = 200
TIMEOUT_MS = 400


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", required=True)
    options = parser.parse_args()

    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 5000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, INTERVAL_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, TIMEOUT_MS)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    socket.connect(options.connect)
    emit("ready")

    def changes(milliseconds):
        """Connections lost and made while nothing is sent."""
        lost = made = 0
        end = time.monotonic() + milliseconds / 1000
        while (left := end - time.monotonic()) > 0:
            if monitor.poll(int(left * 1000) + 1):
                event = recv_monitor_message(monitor)["event"]
                lost += event == zmq.EVENT_DISCONNECTED
                made += event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return lost, made

    for command in commands():
        if "idle_ms" in command:
            lost, made = changes(command["idle_ms"])
            emit("idle", lost=lost, made=made)
        else:
            socket.send_string(json.dumps(command["send"]))
            try:
                emit("reply", text=socket.recv_string())
            except zmq.Again:
                emit("silence")
                return


if __name__ == "__main__":
    main()
