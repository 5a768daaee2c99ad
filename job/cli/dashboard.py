"""Optuna's dashboard on the studies, to look at: on this machine only, and without a way to change anything."""

import http.client
import logging
import threading
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from job.coordination.database import Database
from job.coordination.study import reader
from job.errors import Invalid, UsageError
from job.interrupt import INTERRUPT
from job.local.embedded import INSTALL

HOST = "127.0.0.1"

log = logging.getLogger(__name__)


def _first_line(record: logging.LogRecord) -> bool:
    record.msg = str(record.msg).partition("\n")[
        0
    ]  # it logs a traceback for each request that finds no database
    return True


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, text, *values):
        log.debug(text, *values)


@contextmanager
def served(database: Database, port: int):
    """Serve the dashboard at 127.0.0.1 until the block ends; yield its URL. Port 0: any.

    It reads in read-only transactions, and every request but GET is refused before it reaches it.
    Raises: Invalid without the package or the tables; UsageError for a port that is taken.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as exc:
        raise Invalid(
            f"the dashboard (package optuna-dashboard) is not installed: {INSTALL}"
        ) from exc
    database.check_schema()
    logging.getLogger("optuna_dashboard._bottle_util").addFilter(_first_line)
    try:
        server = make_server(
            HOST,
            port,
            _looking_only(wsgi(reader(database))),
            server_class=_Server,
            handler_class=_Handler,
        )
    except OSError as exc:
        raise UsageError(
            f"--port {port}: cannot be listened on ({exc.strerror}); give another one"
        ) from exc
    with server:
        threading.Thread(target=server.serve_forever, name="dashboard", daemon=True).start()
        yield f"http://{HOST}:{server.server_port}/"
        server.shutdown()


def serve(database: Database, port: int, say) -> None:
    """Serve until a signal; `say(url)` once it answers. Raises: Interrupted at the signal; what `served` raises."""
    with served(database, port) as url:
        say(url)
        while True:
            INTERRUPT.sleep(3600)


def _looking_only(app):
    """Return the application without what changes something: it could delete a study that our tasks are bound to."""

    def guarded(environ, start):
        here = environ.get("HTTP_HOST", "").partition(":")[0] in (
            HOST,
            "localhost",
        )  # no name that a foreign page gave our address
        if here and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start)
        code = http.client.FORBIDDEN
        start(f"{code.value} {code.phrase}", [("Content-Type", "application/json")])
        return [b'{"reason": "this dashboard is for looking only"}']

    return guarded
