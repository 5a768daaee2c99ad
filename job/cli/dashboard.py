"""Optuna's dashboard of the studies: on this machine only, read-only."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from job.coordination.database import Database
from job.coordination.study import open_reader
from job.errors import Invalid, UsageError
from job.interrupt import INTERRUPT
from job.local.server import INSTALL

HOST = "127.0.0.1"

log = logging.getLogger(__name__)


def _drop_traceback(record: logging.LogRecord) -> bool:
    """Keep the first line of a record: the dashboard logs a traceback per failed request."""
    record.msg = str(record.msg).partition("\n")[0]
    return True


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


@contextmanager
def run_dashboard(database: Database, port: int) -> Iterator[str]:
    """Serve the dashboard at 127.0.0.1 until the block ends; yield its URL.

    It reads in read-only transactions. Requests other than GET and HEAD never reach it.

    Args:
        database: Where the studies are.
        port: The port to listen on; 0: any free one.

    Raises:
        Invalid: The package optuna-dashboard or the tables are missing.
        UsageError: The port is taken.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as exc:
        raise Invalid(
            f"the dashboard (package optuna-dashboard) is not installed: {INSTALL}"
        ) from exc
    database.check_schema()
    logging.getLogger("optuna_dashboard._bottle_util").addFilter(_drop_traceback)
    app = _read_only(wsgi(open_reader(database)))
    try:
        server = make_server(HOST, port, app, server_class=_Server, handler_class=_Handler)
    except OSError as exc:
        raise UsageError(
            f"--port {port}: cannot listen on it ({exc.strerror}); give another port"
        ) from exc
    with server:
        threading.Thread(target=server.serve_forever, name="dashboard", daemon=True).start()
        yield f"http://{HOST}:{server.server_port}/"
        server.shutdown()


def serve(database: Database, port: int, announce: Callable[[str], None]) -> NoReturn:
    """Serve the dashboard until a signal.

    Args:
        database: Where the studies are.
        port: The port to listen on; 0: any free one.
        announce: Called with the URL once the dashboard answers.

    Raises: Interrupted at the signal, and what `run_dashboard` raises.
    """
    with run_dashboard(database, port) as url:
        announce(url)
        while True:
            INTERRUPT.sleep(3600)


def _read_only(app: Callable) -> Callable:
    """Return a WSGI application that refuses every change.

    The dashboard could delete a study to which our tasks are bound.
    """

    def guarded(environ: dict, start_response: Callable):
        # A page elsewhere may have a name of its own for our address: its host differs.
        is_ours = environ.get("HTTP_HOST", "").partition(":")[0] in (HOST, "localhost")
        if is_ours and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        refusal = HTTPStatus.FORBIDDEN
        start_response(f"{refusal.value} {refusal.phrase}", [("Content-Type", "application/json")])
        return [b'{"reason": "this dashboard is read-only"}']

    return guarded
