"""The NATS client protocol over a plain socket: no library, so that a test sees what was read and what was not."""
import json
import select
import socket

TIMEOUT = 5.0


class Lost(Exception):
    """The connection is gone."""


class Message:
    def __init__(self, subject, reply, headers, payload):
        self.subject, self.reply, self.headers, self.payload = subject, reply, headers, payload

    def json(self):
        return json.loads(self.payload)


class Connection:
    """Connected when made. `server_id` is another one after each start of the server."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.buffer = b""
        self.messages = []
        self.is_answered = False
        try:
            self.socket = socket.create_connection((host, int(port)), TIMEOUT)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while b"\r\n" not in self.buffer:
                self._receive(TIMEOUT)
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            self.server_id = json.loads(line[len(b"INFO "):])["server_id"]
            self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"name":"crash"}\r\nPING\r\n')
            while not self.is_answered:
                self._receive(TIMEOUT)
                self._parse()
        except (OSError, ValueError, KeyError) as error:
            raise Lost(str(error))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Lost(str(error))

    def subscribe(self, subject):
        self.send(b"SUB %s 1\r\n" % subject.encode())

    def read(self, timeout):
        """What came, after at most `timeout` seconds. What the server wrote before it died is returned before its end is."""
        self._parse()
        if not self.messages:
            self._receive(timeout, False)
            self._parse()
        messages, self.messages = self.messages, []
        return messages

    def close(self):
        self.socket.close()

    def _receive(self, timeout, is_needed=True):
        try:
            if not select.select([self.socket], [], [], timeout)[0]:
                if is_needed:
                    raise Lost("silence")
                return
            data = self.socket.recv(1 << 18)
        except OSError as error:
            raise Lost(str(error))
        if not data:
            raise Lost("end")
        self.buffer += data

    def _parse(self):
        buffer, at = self.buffer, 0
        while True:
            end = buffer.find(b"\r\n", at)
            if end < 0:
                break
            words = buffer[at:end].split(b" ")
            if words[0] in (b"MSG", b"HMSG"):
                size = int(words[-1])
                begin = end + 2
                if len(buffer) < begin + size + 2:
                    break
                has_headers = words[0] == b"HMSG"
                head = int(words[-2]) if has_headers else 0
                fixed = 5 if has_headers else 4
                reply = words[3].decode() if len(words) > fixed else ""
                headers = {}
                for line in buffer[begin:begin + head].split(b"\r\n")[1:]:
                    if line:
                        name, value = line.split(b":", 1)
                        headers[name.decode()] = value.strip().decode()
                payload = buffer[begin + head:begin + size]
                self.messages.append(Message(words[1].decode(), reply, headers, payload))
                at = begin + size + 2
                continue
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] == b"PONG":
                self.is_answered = True
            elif words[0] == b"-ERR":
                raise Lost(buffer[at:end].decode())
            at = end + 2
        self.buffer = buffer[at:]


def publish(subject, reply, headers, payload):
    """The bytes of one publish."""
    if not headers:
        return b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(payload), payload)
    head = "NATS/1.0\r\n" + "".join("%s: %s\r\n" % pair for pair in headers.items()) + "\r\n"
    head = head.encode()
    return b"HPUB %s %s %d %d\r\n%s%s\r\n" % (subject.encode(), reply.encode(), len(head), len(head) + len(payload), head, payload)
