"""A REP agent: main socket, health socket, HTTP health, registration at construction.

Options name what real agents differ in: the dialect they register in, the pause after a request, the kinds of reply,
a main port that binds and never answers. `--fleet` runs several agents in one process, each with threads of its own.
"""
import argparse
import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import zmq

from lines import commands, emit, to_hex

# The kinds of reply that real agents give to a ping.
PING_REPLIES = {
    "health": None,
    "pong": {"status": "success", "message": "pong"},
    "ok": {"status": "ok"},
    "alive": {"status": "alive", "agent": "x"},
    "bool": {"success": True},
    "text": "pong",
    "healthy": {"status": "HEALTHY", "timestamp": 0},
}


class Agent:
    def __init__(self, options, name, port, health_port, http_port=None):
        self.options = options
        self.name = name
        self.port = port
        self.health_port = health_port
        self.http_port = http_port
        self.ready = True
        self.started = time.time()
        self.context = zmq.Context.instance()
        self.socket = self._bind(port)
        self.health_socket = self._bind(health_port) if health_port else None
        threading.Thread(target=self._serve_health, daemon=True).start()
        if http_port:
            self._start_http()

    def _bind(self, port):
        socket = self.context.socket(zmq.REP)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, 5000)
        socket.bind(f"tcp://{self.options.bind_host}:{port}")
        return socket

    # -- registration

    def register(self, endpoint, dialect):
        if dialect == "command":
            body = {"command": "REGISTER", "payload": {"name": self.name, "port": self.port,
                    "health_check_port": self.health_port, "capabilities": ["stt", "transcription"], "status": "online"}}
        else:
            body = self._registration()
        for _ in range(3):
            socket = self.context.socket(zmq.REQ)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVTIMEO, 5000)
            try:
                socket.connect(endpoint)
                socket.send_json(body)
                reply = socket.recv_json()
                emit("registered", name=self.name, reply=reply, bytes=len(json.dumps(body)))
                return
            except zmq.Again:
                continue
            finally:
                socket.close()
        emit("registration_failed", name=self.name)

    def _registration(self):
        return {
            "action": "register_agent",
            "agent_name": self.name,
            "status": "HEALTHY",
            "location": "MainPC",
            "registration_data": {
                "agent_id": self.name,
                "agent_type": "specialized",
                "host": self.options.host,
                "port": self.port,
                "health_check_port": self.health_port,
                "capabilities": ["health_check", "ping", "echo"],
                "dependencies": ["SystemDigitalTwin"],
                "metadata": {"version": "1.0.0", "startup_time": "2025-01-01T00:00:00",
                             "description": "an agent of the test fleet", "owner": "testkit"},
            },
            "source_agent": self.name,
            "request_id": str(uuid.uuid4()),
            "timestamp": time.time(),
        }

    # -- serving

    def serve(self):
        while True:
            try:
                frames = self.socket.recv_multipart()
            except zmq.Again:
                continue
            if self.options.verbose:
                emit("request", name=self.name, frames=to_hex(frames))
            if self.options.never_answer:
                # A REP that has not answered cannot receive: as stuck as the real ones.
                threading.Event().wait()
            self.socket.send_multipart(self.answer(frames))
            if self.options.delay:
                time.sleep(self.options.delay)

    def answer(self, frames):
        if self.options.echo:
            return frames
        raw = frames[0]
        if raw in (b"ping", b"get_suggestion"):
            return [b"pong" if raw == b"ping" else b"no suggestion"]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            return self._error("Invalid UTF-8 request")
        try:
            request = json.loads(text)
        except json.JSONDecodeError:
            return self._error("Invalid JSON request")
        try:
            return self.handle(request, raw)
        except Exception as error:  # as the real agents do
            return self._error(str(error))

    def handle(self, request, raw):
        action = request.get("action")
        if action in ("ping", "health", "health_check"):
            reply = PING_REPLIES[self.options.ping_reply]
            return [self.health_document() if reply is None else json.dumps(reply).encode()]
        if action == "token":
            return self._json({"status": "success", "agent": self.name, "token": request["token"]})
        if action == "echo":
            return [raw]
        if action == "slow":
            time.sleep(request["seconds"])
            return self._json({"status": "success", "token": request["token"]})
        if action == "bytes":
            return [bytes(index % 251 for index in range(request["size"]))]
        if action == "add_memory":
            return self._json({"status": "success", "memory_id": f"mem-{uuid.uuid4()}"})
        return self._error(f"Unknown action: {action}")

    def health_document(self):
        document = {
            "status": "ok" if self.ready else "degraded",
            "ready": self.ready,
            "initialized": True,
            "message": f"{self.name} is running",
            "timestamp": time.time(),
            "uptime": time.time() - self.started,
            "active_threads": threading.active_count(),
            "health_checks": {"zmq": True, "memory": True},
            "health_details": {"queue": 0, "errors": 0},
            "health_status": "HEALTHY" if self.ready else "DEGRADED",
        }
        if self.options.health_size:
            missing = self.options.health_size - len(json.dumps(document))
            document["message"] += "." * max(0, missing)
        return json.dumps(document).encode()

    def _serve_health(self):
        if self.health_socket is None:
            return
        while True:
            try:
                self.health_socket.recv_multipart()
            except zmq.Again:
                continue
            self.health_socket.send(self.health_document())

    def _start_http(self):
        agent = self

        class Health(BaseHTTPRequestHandler):
            def do_GET(self):
                document = agent.health_document()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer((self.options.host, self.http_port), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    @staticmethod
    def _json(document):
        return [json.dumps(document).encode()]

    @staticmethod
    def _error(text):
        return [json.dumps({"status": "error", "error": text}).encode()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="Agent")
    parser.add_argument("--host", default="127.0.0.1", help="the host it registers")
    parser.add_argument("--bind-host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--health-port", type=int, default=0)
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--fleet", type=json.loads, help='[{"name":…, "port":…, "health_port":…}, …]')
    parser.add_argument("--register", help="endpoint of the registry")
    parser.add_argument("--dialect", choices=["action", "command"], default="action")
    parser.add_argument("--delay", type=float, default=0.0, help="pause after each request, seconds")
    parser.add_argument("--never-answer", action="store_true")
    parser.add_argument("--echo", action="store_true", help="reply with the frames of the request")
    parser.add_argument("--ping-reply", choices=sorted(PING_REPLIES), default="health")
    parser.add_argument("--health-size", type=int, default=0, help="bytes of the health document")
    parser.add_argument("--verbose", action="store_true", help="print each request")
    options = parser.parse_args()

    fleet = options.fleet or [{"name": options.name, "port": options.port, "health_port": options.health_port,
                               "http_port": options.http_port}]
    agents = []
    for member in fleet:
        agents.append(Agent(options, member["name"], member["port"], member.get("health_port"), member.get("http_port")))
    for agent in agents:
        threading.Thread(target=agent.serve, daemon=True).start()
    emit("ready", names=[agent.name for agent in agents])
    if options.register:
        for agent in agents:
            agent.register(options.register, options.dialect)
        emit("all_registered")
    for command in commands():
        if "ready" in command:
            for agent in agents:
                agent.ready = command["ready"]
            emit("ready_set", ready=command["ready"])


if __name__ == "__main__":
    main()
