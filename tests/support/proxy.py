"""A TCP proxy that makes trouble between real programs and real servers; its fault is an attribute.

    with Proxy("127.0.0.1", 5432) as proxy:
        connect(proxy.port)
        proxy.fault = "refuse"
        proxy.set("slow", rate=100_000)

Bytes pass unchanged, so any protocol works. S3 signatures cover the proxy's own address.
"""

import socket
import threading
import time
from contextlib import suppress

FAULTS = ("pass", "refuse", "drop", "hang", "slow", "cut", "status")
CODES = {500: "InternalError", 501: "NotImplemented", 503: "ServiceUnavailable"}


class Proxy:
    """Forward 127.0.0.1:`port` to host:port, or fail to, as `fault` says at the time.

    pass    forward
    refuse  stop listening and end the open connections, as a dead server does; the port stays ours
    drop    accept, then end the connection; end the open ones, too
    hang    accept and forward nothing; what arrives meanwhile is forwarded after the fault
    slow    forward `rate` bytes per second each way
    cut     end a connection after `after` more bytes from the `side` "client" or "server";
            do so `times` times, then pass
    status  (HTTP) read each request and answer it with `status`, an S3 error of this `code`
            and a `date`; end the open connections
    """

    def __init__(self, host: str, port: int):
        self.target = host, port
        self.connections = 0
        self.bytes = 0
        self.rate = 100_000
        self.after = 0
        self.side = "client"
        self.times = 1
        self.status = 503
        self.code = None
        self.date = None
        self._fault = "pass"
        self._closed = False
        self._lock = threading.RLock()
        self._open = set()
        self._listener = self._bound(0)
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        self._listen()
        return self

    def __exit__(self, *_):
        with self._lock:
            self._closed = True
            self._end(self._listener, *self._open)

    @property
    def fault(self) -> str:
        """The fault that is on now; see the class."""
        return self._fault

    @fault.setter
    def fault(self, fault: str) -> None:
        self.set(fault)

    def set(self, fault: str, **values) -> None:
        """Set the fault and its values: rate; after, side, times; status, code, date."""
        assert fault in FAULTS and all(hasattr(self, name) for name in values), (fault, values)
        with self._lock:
            self.__dict__.update({"times": 1, "code": None, "date": None} | values)
            before = self._fault
            self._fault = fault
            self._left = self.after
            if fault == "refuse" and before != "refuse":
                self._end(self._listener)
                self._listener = self._bound(self.port)
            elif before == "refuse" and fault != "refuse":
                self._listen()
            if fault in ("refuse", "drop", "status"):
                self._end(*self._open)

    def _bound(self, port: int) -> socket.socket:
        """Return a socket that holds our port without listening.

        Connections are refused, and nobody else can take the port.
        """
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # A small buffer, or else it would hide a slow connection.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        bound.bind(("127.0.0.1", port))
        return bound

    def _listen(self) -> None:
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        with self._lock:
            self._open |= {client, server}
            fault = self._fault
        try:
            if fault == "status":
                self._answer(client)
            elif fault not in ("drop", "refuse"):
                server.connect(self.target)
                answers = (server, client, "server")
                back = threading.Thread(target=self._pump, args=answers, daemon=True)
                back.start()
                self._pump(client, server, "client")
                back.join()
        except OSError:
            pass
        finally:
            self._end(client, server)
            with self._lock:
                self._open -= {client, server}

    def _pump(self, source: socket.socket, target: socket.socket, side: str) -> None:
        with suppress(OSError):
            while data := source.recv(self._size()):
                while self._fault == "hang" and not self._closed:
                    time.sleep(0.01)
                piece, cut = self._piece(data, side)
                target.sendall(piece)
                if cut:
                    break
                if self._fault == "slow":
                    time.sleep(len(data) / self.rate)
        self._end(source, target)

    def _size(self) -> int:
        """Return how many bytes to read at most."""
        return max(1, self.rate // 20) if self._fault == "slow" else 1 << 14

    def _piece(self, data: bytes, side: str) -> tuple[bytes, bool]:
        """Return the bytes that may pass, and whether the connection is cut after them."""
        with self._lock:
            cut = False
            if self._fault == "cut" and side == self.side:
                data = data[: self._left]
                self._left -= len(data)
                if cut := self._left == 0:
                    self._left = self.after
                    self.times -= 1
                    self._fault = "cut" if self.times else "pass"
            self.bytes += len(data)
            return data, cut

    def _answer(self, client: socket.socket) -> None:
        """Read one HTTP request to its end and answer it."""
        with client.makefile("rb") as stream:
            head = []
            # The head ends with an empty line.
            while line := stream.readline().strip().decode("latin1").lower():
                head.append(line)
            fields = dict(line.split(": ", 1) for line in head[1:])
            if fields.get("expect") == "100-continue":
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if fields.get("transfer-encoding") == "chunked":
                while size := int(stream.readline(), 16):
                    stream.read(size + 2)
            stream.read(int(fields.get("content-length", 0)))
        code = self.code or CODES.get(self.status, "Fault")
        error = f"<Error><Code>{code}</Code><Message>made by a test</Message></Error>"
        asks_head = head and head[0].startswith("head ")
        body = "" if asks_head else f'<?xml version="1.0"?>{error}'
        lines = [
            f"HTTP/1.1 {self.status} Fault",
            "Content-Type: application/xml",
            "Connection: close",
            *([f"Date: {self.date}"] if self.date else []),
            f"Content-Length: {len(body)}",
            "",
            body,
        ]
        client.sendall("\r\n".join(lines).encode())

    def _end(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in it
            one.close()
