"""The commands of docs/guides/kubernetes.md, exactly as they are written there."""

import json
import os
import re
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.k8s.rendered import BIN, JOBS, OVERLAYS, ROOT, STAGES, golden

GUIDE = (ROOT / "docs" / "guides" / "kubernetes.md").read_text()
LABELS = {"job-name": "report"}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "report-x", "namespace": "image-tuning"},
    "spec": {"containers": [{"name": "job"}]},
}
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "report", "namespace": "image-tuning"},
    "spec": {
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": POD["spec"]},
    },
}
PODS = {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [POD]}
KINDS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [{"groupVersion": "batch/v1", "version": "v1"}]}],
    },
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get"]}],
    },
    "/apis/batch/v1": {
        "kind": "APIResourceList",
        "groupVersion": "batch/v1",
        "resources": [{"name": "jobs", "kind": "Job", "namespaced": True, "verbs": ["get"]}],
    },
}
OBJECTS = {
    "/apis/batch/v1/namespaces/image-tuning/jobs/report": JOB,
    "/api/v1/namespaces/image-tuning/pods": PODS,
    "/api/v1/namespaces/image-tuning/pods/report-x": POD,
}
NOT_YET = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "reason": "BadRequest",
    "message": "waiting to start",
}


@contextmanager
def api(logs: list[tuple[int, bytes]]):
    """Serve the part of the Kubernetes API that `kubectl logs` uses; yield the URL.

    Args:
        logs: the status and content of each answer to a request for the log, in order.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            if path.endswith("/log"):
                self._answer(*logs.pop(0))
                return
            answer = (KINDS | OBJECTS).get(path)
            self._answer(200 if answer else 404, json.dumps(answer or {}).encode())

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(url: str) -> dict:
    """Return a kubeconfig for a server."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
        "current-context": "c",
    }


def test_the_log_of_the_report(tmp_path):
    """The command waits while a pod has no node (an empty log) or has not begun (an error)."""
    (command,) = re.findall(r"^([^\n#]*logs -f job/report[^\n#]*?) *#", GUIDE, re.M)
    logs = [(200, b""), (400, json.dumps(NOT_YET).encode()), (200, b"the report is in the store\n")]
    config = tmp_path / "config"
    path = f"{BIN}:{os.environ['PATH']}"
    environ = os.environ | {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(config)}
    with api(logs) as url:
        config.write_text(json.dumps(kubeconfig(url)))
        done = subprocess.run(
            ["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout) == (0, "the report is in the store\n"), done.stderr
    assert "waiting to start" in done.stderr, "the reason for the wait is printed"
    assert logs == []


def selected(overlay: str, selector: str) -> list[tuple[str, str]]:
    """Return the kind and name of the objects that `kubectl -l` selects by a label selector."""
    key, values = re.fullmatch(r"([\w./-]+)(?:=| in )\(?([\w, -]+?)\)?", selector).groups()
    return [
        name
        for o, name in zip(golden(overlay), names(overlay), strict=True)
        if o["metadata"].get("labels", {}).get(key) in values.split(", ")
    ]


def names(overlay: str) -> list[tuple[str, str]]:
    """Return the kind and name of each object of an overlay, in order."""
    return [(o["kind"], o["metadata"]["name"]) for o in golden(overlay)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_selected(overlay):
    """The guide deletes all Jobs at once, and its turns apply every object exactly once."""
    (delete,) = re.findall(r"delete jobs -l ([\w./=-]+)", GUIDE)
    assert [name for kind, name in selected(overlay, delete) if kind == "Job"] == list(JOBS)
    turns = re.findall(r"-l\s+'?([\w./]+/component(?: in \([\w, ]+\)|=features))", GUIDE)
    turns += [turns[-1].replace("features", name) for name in (*STAGES[1:], "report")]
    applied = [one for turn in turns for one in selected(overlay, turn)]
    assert sorted(applied) == sorted(names(overlay))
    assert [name for kind, name in applied if kind == "Job"] == list(JOBS)
