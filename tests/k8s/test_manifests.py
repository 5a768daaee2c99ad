"""The manifests are rendered, valid and restricted, and every name in them exists."""

import re
import shutil
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from job.cli.cli import job as commands
from job.errors import EXIT_CODES
from job.experiment.specification import load
from job.settings import S3_VARIABLES, SETTINGS
from tests.k8s.rendered import (
    BASE,
    JOBS,
    OVERLAYS,
    PODS,
    ROOT,
    STAGES,
    VERSIONS,
    golden,
    kustomize,
    named,
    objects,
    pods,
)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rendered(overlay):
    """An overlay renders to its golden file, tests/k8s/OVERLAY.yaml."""
    golden_file = Path(__file__).parent / f"{overlay}.yaml"
    assert kustomize(ROOT / "k8s" / "overlays" / overlay) == golden_file.read_text()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_valid(overlay, version):
    """The newest Kubernetes versions know every field."""
    for o in golden(overlay):
        kubernetes_validate.validate(o, version, strict=True)


@pytest.mark.parametrize("name", JOBS)
def test_a_file_alone(name):
    """Each Job's file is valid alone, in any namespace, and refers to optional objects only."""
    (o,) = objects((BASE / f"{name}.yaml").read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(o, version, strict=True)
    assert "namespace" not in o["metadata"]
    pod = o["spec"]["template"]["spec"]
    assert "serviceAccountName" not in pod
    assert all(source["configMapRef"]["optional"] for source in pod["containers"][0]["envFrom"])
    sources = [v[kind] for v in pod["volumes"] for kind in ("secret", "configMap") if kind in v]
    assert all(source.get("optional") for source in sources)


def test_stages_differ_in_their_names_and_numbers_only():
    """The files of the four stages differ in their names and numbers only."""
    texts = set()
    for stage in STAGES:
        (o,) = objects((BASE / f"{stage}.yaml").read_text())
        assert o["spec"].pop("completions") == o["spec"].pop("maxFailedIndexes")
        texts.add(yaml.safe_dump(o).replace(stage, "STAGE"))
    assert len(texts) == 1


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_restricted(overlay, name):
    """Every pod meets the profile `restricted`, and has no token, a read-only root and limits."""
    pod = pods(overlay)[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"].get("runAsUser", 1) != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    host = {"hostNetwork", "hostPID", "hostIPC"}
    assert not (host | {"initContainers", "ephemeralContainers"}) & pod.keys()
    allowed = {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
    assert all(set(v) & allowed for v in pod["volumes"])
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        resources = {"cpu", "memory", "ephemeral-storage"}
        assert resources <= container["resources"]["requests"].keys()
        assert resources <= container["resources"]["limits"].keys()
        assert not any("hostPort" in port for port in container.get("ports", ()))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_enforces_it(overlay):
    """The namespace enforces the profile `restricted`, and every object is in it."""
    namespace = named(overlay, "Namespace")["image-tuning"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [o for o in golden(overlay) if o["kind"] != "Namespace"]
    assert {o["metadata"].get("namespace") for o in others} == {"image-tuning"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network(overlay):
    """Every pod has a policy for both directions, and only `job` reaches the servers of dev."""
    policies = named(overlay, "NetworkPolicy").values()
    for kind in ("Job", "StatefulSet"):
        for o in named(overlay, kind).values():
            labels = o["spec"]["template"]["metadata"]["labels"]
            specs = [p["spec"] for p in policies]
            (policy,) = [
                spec
                for spec in specs
                if spec["podSelector"]["matchLabels"].items() <= labels.items()
            ]
            assert policy["policyTypes"] == ["Ingress", "Egress"]
            assert all(rule["ports"] for rule in policy.get("egress", ()))
            sources = [source for rule in policy.get("ingress", ()) for source in rule["from"]]
            job_pods = {"matchLabels": {"app.kubernetes.io/name": "image-tuning-job"}}
            allowed = [{"podSelector": job_pods}] if kind == "StatefulSet" else []
            assert sources == allowed


def action(rules: list[dict], code: int, disrupted: bool = False) -> str:
    """Return the action of a podFailurePolicy for an exit code.

    As in Kubernetes, it is that of the first matching rule, else Count.
    """
    for rule in rules:
        conditions = [c for c in rule.get("onPodConditions", ()) if c["type"] == "DisruptionTarget"]
        if any(c["status"] == str(disrupted) for c in conditions):
            return rule["action"]
        on = rule.get("onExitCodes")
        if on and on["operator"] == "In" and on["containerName"] == "job" and code in on["values"]:
            return rule["action"]
    return "Count"


@pytest.mark.parametrize("name", JOBS)
def test_exit_codes(name):
    """Each exit code of `job` has its action; a killed pod counts, a disrupted one does not."""
    spec = named("gpu", "Job")[name]["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    never = "FailIndex" if name in STAGES else "FailJob"
    wanted = {
        0: "Count",
        1: "Count",
        2: "FailJob",
        69: "Ignore",
        70: never,
        75: "Ignore",
        78: "FailJob",
    }
    assert wanted.keys() == EXIT_CODES.keys()
    assert {code: action(rules, code) for code in EXIT_CODES} == wanted
    assert {action(rules, code) for code in (134, 137, 139, 143)} == {"Count"}
    assert {action(rules, code, disrupted=True) for code in (1, 78, 137, 143)} == {"Ignore"}
    named_codes = [c for rule in rules for c in rule.get("onExitCodes", {}).get("values", ())]
    assert set(named_codes) <= EXIT_CODES.keys()


@pytest.mark.parametrize("name", JOBS)
def test_indexed_jobs(name):
    """Stages are Indexed Jobs, one pod per index at a time; every Job leaves time to save."""
    spec = named("gpu", "Job")[name]["spec"]
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["ttlSecondsAfterFinished"] > 0
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= 2 * SETTINGS["grace_s"].default
    assert (spec.get("completionMode") == "Indexed") == (name in STAGES)
    if name in STAGES:
        assert 0 <= spec["maxFailedIndexes"] <= spec["completions"]
        assert spec["backoffLimitPerIndex"] > 3  # the database's own limit comes first
        env = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        # With its start, well below the minute that a pod may hold a GPU idle.
        assert float(env["JOB_WAIT_S"]) <= 30
        limit = pod["volumes"][-1]["emptyDir"]["sizeLimit"]
        assert float(env["JOB_CACHE_GB"]) * 1e9 < int(limit.removesuffix("Gi")) * 2**30
        mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        # Root owns a volume and all may write to it: `job` makes its cache folder below it.
        assert "/tmp" in mounts and env.get("JOB_CACHE_DIR", "/tmp/job-cache-<uid>") not in mounts


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_name_exists(overlay):
    """Every command, flag and variable exists, and every object is in the overlay."""
    variables = {"JOB_DATA", "JOB_WEIGHTS", "JOB_SCHEDULER_JOB", "AWS_SHARED_CREDENTIALS_FILE"}
    variables |= {s.variable for s in SETTINGS.values()}
    variables |= {f"{s.variable}_FILE" for s in SETTINGS.values() if s.secret}
    variables |= set(S3_VARIABLES)
    config = named(overlay, "ConfigMap")
    secrets = named(overlay, "Secret")
    assert config["job"]["data"].keys() <= variables
    for name, pod in pods(overlay).items():
        (container,) = pod["containers"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert {m["name"] for m in container["volumeMounts"]} - volumes.keys() <= {"data"}
        mounted = {v["configMap"]["name"] for v in volumes.values() if "configMap" in v}
        assert mounted <= config.keys()
        mounted = {v["secret"]["secretName"] for v in volumes.values() if "secret" in v}
        assert mounted <= (secrets.keys() if overlay == "dev" else {"job"})
        if name not in JOBS:
            continue
        assert {e["name"] for e in container["env"]} <= variables
        assert {source["configMapRef"]["name"] for source in container["envFrom"]} <= config.keys()
        command = commands.commands[container["args"][0]]
        flags = {option for p in command.params for option in p.opts}
        assert {a.partition("=")[0] for a in container["args"] if a.startswith("--")} <= flags
    if overlay == "dev":
        assert secrets["job"]["stringData"].keys() == {"database-url", "aws-credentials"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_order(overlay):
    """Policies, ConfigMaps and Secrets are created before any pod, and Jobs last, in order."""
    order = [(o["kind"], o["metadata"]["name"]) for o in golden(overlay)]
    kinds = [kind for kind, _ in order]
    assert kinds[0] == "Namespace"
    assert [name for kind, name in order if kind == "Job"] == list(JOBS)
    assert kinds[-len(JOBS) :] == ["Job"] * len(JOBS)
    pods_from = min(kinds.index(kind) for kind in ("Job", "StatefulSet") if kind in kinds)
    assert not {"NetworkPolicy", "Secret", "ConfigMap"} & set(kinds[pods_from:])


EDITED = {
    "image": "mirror/x@sha256:0",
    "experiment": "mine",
    "features": "3",
    "trial": "40",
    "fold": "15",
    "final": "9",
    "parallelism": "7",
    "cpu": "6",
    "memory": "9Gi",
    "prepare-cpu": "3 to 4",
    "prepare-memory": "16Gi to 17Gi",
    "report-cpu": "300m to 5",
    "report-memory": "3Gi to 5Gi",
}


def edit(text: str, key: str, value: str) -> str:
    """Return settings.yaml with another value of a key; a comment after the value stays."""
    assert f"  {key}: " in text
    head, _, rest = text.partition(f"  {key}: ")
    line, _, tail = rest.partition("\n")
    comment = line[line.index(" #") :] if " #" in line else ""
    return f'{head}  {key}: "{value}"{comment}\n{tail}'


def test_one_place_for_sizes(tmp_path):
    """An edit in settings.yaml reaches every Job that it concerns, numbers as numbers."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    settings = tmp_path / "k8s" / "base" / "settings.yaml"
    text = settings.read_text()
    sizes = next(o for o in objects(text) if o["metadata"]["name"] == "sizes")["data"]
    assert EDITED.keys() == sizes.keys()
    for key, value in EDITED.items():
        text = edit(text, key, value)
    settings.write_text(text)
    rendered = objects(kustomize(tmp_path / "k8s" / "overlays" / "gpu"))
    jobs = {o["metadata"]["name"]: o["spec"] for o in rendered if o["kind"] == "Job"}
    for name, spec in jobs.items():
        (container,) = spec["template"]["spec"]["containers"]
        env = {e["name"]: e.get("value") for e in container["env"]}
        assert container["image"] == EDITED["image"]
        if name in STAGES:
            assert spec["completions"] == spec["maxFailedIndexes"] == int(EDITED[name])
            assert spec["parallelism"] == 7
            assert env["JOB_EXPERIMENT"] == "mine"
        for resource in ("cpu", "memory"):
            size = EDITED[resource if name in STAGES else f"{name}-{resource}"]
            given = [container["resources"][kind][resource] for kind in ("requests", "limits")]
            assert given == (size.split(" to ") if " to " in size else [size, size])
    prepare = jobs["prepare"]["template"]["spec"]["containers"][0]
    expected = [f"--expect={key}={EDITED[key]}" for key in ("experiment", *STAGES)]
    assert prepare["args"][2:] == expected
    report = jobs["report"]["template"]["spec"]["containers"][0]
    assert {e["name"]: e.get("value") for e in report["env"]}["JOB_EXPERIMENT"] == "mine"


def test_the_defaults_fit_each_other():
    """The default sizes, image and experiment agree, in the overlays and in each Job's file."""
    text = named("gpu", "ConfigMap")["experiment"]["data"]["experiment.toml"]
    assert text == (ROOT / "examples" / "digits.toml").read_text()
    experiment = load(ROOT / "examples" / "digits.toml")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in JOBS:
        (o,) = objects((BASE / f"{name}.yaml").read_text())
        rendered = named("cpu", "Job")[name]["spec"]
        rendered["template"]["spec"].pop("affinity")
        assert rendered == o["spec"]
        (container,) = o["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"image-tuning-job:{version}-cpu"
        if name in STAGES:
            assert o["spec"]["completions"] == sum(experiment.plan()[name].values())
        if name == "trial":
            assert container["env"][0]["value"] == experiment.name


def texts(part) -> list[str]:
    """Return every text in a part of an object."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list):
        return [text for each in part for text in texts(each)]
    return []


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_image(tmp_path, overlay, layers):
    """With another image by `images:`, in one or two overlays on ours, the old one is gone."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    below = overlay
    for number in range(layers):
        folder = tmp_path / "k8s" / "overlays" / f"mine-{number}"
        folder.mkdir()
        name = f"registry.example/{number - 1}" if number else "image-tuning-job"
        image = {
            "name": name,
            "newName": f"registry.example/{number}",
            "digest": "sha256:" + "0" * 64,
        }
        (folder / "kustomization.yaml").write_text(
            yaml.safe_dump({"resources": [f"../{below}"], "images": [image]})
        )
        below = folder.name
    jobs = [o for o in objects(kustomize(folder)) if o["kind"] == "Job"]
    assert len(jobs) == len(JOBS)
    for job in jobs:
        images = [t for t in texts(job) if re.search("image-tuning-job[:@]|registry.example", t)]
        assert set(images) == {f"registry.example/{layers - 1}@sha256:" + "0" * 64}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_guides_overlay(tmp_path, overlay):
    """The guide's overlay keeps the order, and each task records the image that it runs in."""
    guide = (ROOT / "docs" / "guides" / "kubernetes.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```", guide, re.M | re.S)
    assert "[../gpu]" in text
    folder = tmp_path / "k8s" / "overlays" / "mine"
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(text.replace("../gpu", f"../{overlay}"))
    rendered = objects(kustomize(folder))
    names, golden_names = [
        [(o["kind"], o["metadata"]["name"]) for o in x[1:]] for x in (rendered, golden(overlay))
    ]
    assert names == golden_names
    assert {o["metadata"].get("namespace", o["metadata"]["name"]) for o in rendered} == {"second"}
    for o in rendered:
        kubernetes_validate.validate(o, VERSIONS[-1], strict=True)
        if o["kind"] == "Job":
            (container,) = o["spec"]["template"]["spec"]["containers"]
            assert container["image"].startswith("registry.example/job@sha256:")
            assert {"name": "JOB_IMAGE_DIGEST", "value": container["image"]} in container["env"]


def test_gpus():
    """Only tasks of the overlay gpu have a GPU, one per task, and tolerate its nodes' taint."""
    for overlay, name in PODS:
        pod = pods(overlay)[name]
        wants = overlay == "gpu" and name in STAGES
        limits = pod["containers"][0]["resources"]["limits"]
        assert limits.get("nvidia.com/gpu") == ("1" if wants else None)
        assert ("tolerations" in pod) == wants


def test_data_on_a_volume(tmp_path):
    """The component data-pvc gives prepare, and no other pod, the read-only claim `data`."""
    folder = tmp_path / "k8s" / "overlays" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "k8s" / "base").symlink_to(BASE)
    (tmp_path / "k8s" / "components").symlink_to(ROOT / "k8s" / "components")
    (folder / "kustomization.yaml").write_text(
        "resources: [../../base]\ncomponents: [../../components/data-pvc]\n"
    )
    rendered = objects(kustomize(folder))
    for o in rendered:
        kubernetes_validate.validate(o, VERSIONS[-1], strict=True)
    claims = {
        o["metadata"]["name"]: v["persistentVolumeClaim"]
        for o in rendered
        if o["kind"] == "Job"
        for v in o["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    }
    assert claims == {"prepare": {"claimName": "data", "readOnly": True}}
