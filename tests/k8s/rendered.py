"""The output of kustomize for k8s/, and the golden files that record it."""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BASE = ROOT / "k8s" / "base"
BIN = Path(sys.executable).parent
OVERLAYS = ("gpu", "cpu", "dev")
STAGES = ("features", "trial", "fold", "final")
JOBS = ("prepare", *STAGES, "report")
VERSIONS = ("1.35", "1.36", "1.37")  # the three newest of kubernetes-validate


def kustomize(folder: Path) -> str:
    """Return the output of `kubectl kustomize` for a folder."""
    done = subprocess.run([BIN / "kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict]:
    """Return the objects of a YAML text."""
    return list(yaml.safe_load_all(text))


def golden(overlay: str) -> list[dict]:
    """Return the objects of the golden file of an overlay, in its order."""
    return objects((Path(__file__).parent / f"{overlay}.yaml").read_text())


def named(overlay: str, kind: str) -> dict[str, dict]:
    """Return the objects of a kind in the golden file of an overlay, by name."""
    return {o["metadata"]["name"]: o for o in golden(overlay) if o["kind"] == kind}


def pods(overlay: str) -> dict[str, dict]:
    """Return the pod specifications of an overlay by the name of their Job or StatefulSet."""
    return {
        name: o["spec"]["template"]["spec"]
        for kind in ("Job", "StatefulSet")
        for name, o in named(overlay, kind).items()
    }


PODS = [(overlay, name) for overlay in OVERLAYS for name in pods(overlay)]
