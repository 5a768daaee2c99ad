"""Ports for servers: the last ones if they are still free, else what the kernel offers."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from job.errors import JobError

# How often to ask the kernel: it may offer a port whose gRPC socket another server left.
TRIES = 20


def free_ports(last: list[int], count: int, host: str = "127.0.0.1") -> list[int]:
    """Return the last ports if all are free, else others that the kernel calls free.

    Args:
        last: The ports of the last start; ignored unless there are `count`.
        count: How many ports to return.
        host: An address of this machine.

    Raises: JobError when there are none.
    """
    if len(last) == count and (ports := _bind_all(last, host)):
        return ports
    for _ in range(TRIES):
        if ports := _bind_all([0] * count, host):
            return ports
    raise JobError(f"found no {count} free ports on {host}: it must be an address of this machine")


def _bind_all(wanted: Iterable[int], host: str) -> list[int] | None:
    """Return the numbers of the ports (0: any), bound for a moment; None if one is not free."""
    with ExitStack() as stack, suppress(OSError):
        ports = [_bind(stack, host, port) for port in wanted]
        if not any(path.exists() for port in ports for path in grpc_sockets(port)):
            return ports
    return None


def _bind(stack: ExitStack, host: str, port: int) -> int:
    """Bind a port (0: any) until the stack ends, and return its number."""
    tcp = stack.enter_context(socket.socket())
    # Closing connections of the last server do not keep its port; a listener does.
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(port != 0))
    tcp.bind((host, port))
    return tcp.getsockname()[1]


def grpc_sockets(port: int) -> list[Path]:
    """Return the sockets that weed makes for a gRPC port, and leaves there when it is killed.

    They are in /tmp whatever TMPDIR says.
    """
    parts = ("master", "volume", "filer", "s3")
    return [Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part in parts]
