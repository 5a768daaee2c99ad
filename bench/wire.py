"""A TCP proxy before PostgreSQL that counts the statements and the open connections."""

import socket
import struct
import threading
from contextlib import suppress

STATEMENTS = b"QPF"  # a simple query, the parsing of a prepared one, a function call


class Wire:
    """The proxy, which listens on 127.0.0.1:`port`.

    It understands connections without TLS only, as the embedded server's are.
    """

    def __init__(self, port: int):
        """Args: port: the port of the server on this machine."""
        self.statements = 0
        self.open = 0
        self._server = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._server) as server, client:
            self._count(open=1)
            threading.Thread(target=_carry, args=(server, client), daemon=True).start()
            with suppress(OSError):
                self._listen(client, server)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
        self._count(open=-1)

    def _listen(self, client: socket.socket, server: socket.socket) -> None:
        """Forward messages one by one: after the first, each is a letter, a length and a body."""
        stream = client.makefile("rb")
        begun = False
        while head := stream.read(5 if begun else 4):
            length = struct.unpack("!I", head[-4:])[0]
            body = stream.read(length - 4)
            # A request for TLS has 8 bytes. The server refuses it, and the greeting follows.
            begun = begun or length != 8
            if len(head) == 5 and head[:1] in STATEMENTS:
                self._count(statements=1)
            server.sendall(head + body)

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, n in more.items():
                setattr(self, name, getattr(self, name) + n)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
