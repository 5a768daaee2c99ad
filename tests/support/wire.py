"""A TCP proxy between a program and PostgreSQL that can lose any single message."""

import socket
import threading
from contextlib import suppress


class Wire:
    """A TCP proxy that asks `obey(data)` about every message to the server.

    The answer is "pass", "swallow", or "cut": end the connection instead of passing the reply.
    """

    def __init__(self, port: int, obey):
        self.server = ("127.0.0.1", port)
        self.obey = obey
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(self.server)
                cut = threading.Event()
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=(*pair, cut), daemon=True).start()

    def _carry(self, source, target, to_server, cut):
        with suppress(OSError):
            while data := source.recv(65536):
                order = self.obey(data) if to_server else "pass"
                if order == "cut":
                    cut.set()
                if cut.is_set() and not to_server:
                    break
                if order != "swallow":
                    target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Stop listening."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def through(url: str, wire: Wire) -> str:
    """Return the database's URL by way of the wire."""
    head, _, tail = url.rpartition("@")
    return f"{head}@127.0.0.1:{wire.port}/{tail.partition('/')[2]}"
