"""The manifests: rendered, valid, restricted, and speaking of nothing that `job` does not have."""

import re
import shutil
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from rendered import (
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

from job.cli.cli import job as commands
from job.errors import EXIT_CODES
from job.experiment.specification import load
from job.settings import S3_VARIABLES, SETTINGS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rendered(overlay):
    """What an overlay renders to is what was looked at: tests/k8s/OVERLAY.yaml, made by `kubectl kustomize k8s/overlays/OVERLAY`."""
    assert (
        kustomize(ROOT / "k8s" / "overlays" / overlay)
        == (Path(__file__).parent / f"{overlay}.yaml").read_text()
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_valid(overlay, version):
    """The newest Kubernetes versions know every field."""
    for o in golden(overlay):
        kubernetes_validate.validate(o, version, strict=True)


@pytest.mark.parametrize("name", JOBS)
def test_a_file_alone(name):
    """Each Job's file is valid by itself, in whatever namespace, and refers to optional objects only."""
    (o,) = objects((BASE / f"{name}.yaml").read_text())
    for version in VERSIONS:
        kubernetes_validate.validate(o, version, strict=True)
    assert "namespace" not in o["metadata"]
    pod = o["spec"]["template"]["spec"]
    assert "serviceAccountName" not in pod
    assert all(source["configMapRef"]["optional"] for source in pod["containers"][0]["envFrom"])
    assert all(
        v[kind].get("optional")
        for v in pod["volumes"]
        for kind in ("secret", "configMap")
        if kind in v
    )


def test_stages_differ_in_their_names_and_numbers_only():
    """The four stages' files are one text."""
    texts = set()
    for stage in STAGES:
        (o,) = objects((BASE / f"{stage}.yaml").read_text())
        assert o["spec"].pop("completions") == o["spec"].pop("maxFailedIndexes")
        texts.add(yaml.safe_dump(o).replace(stage, "STAGE"))
    assert len(texts) == 1


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_restricted(overlay, name):
    """Every pod meets the profile `restricted`, and more: no token, a read-only root, limits, nothing of the host."""
    pod = pods(overlay)[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"].get("runAsUser", 1) != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (
        not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}
        & pod.keys()
    )
    assert all(
        set(v) & {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        for v in pod["volumes"]
    )
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"]["requests"].keys()
        assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()
        assert not any("hostPort" in port for port in container.get("ports", ()))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_enforces_it(overlay):
    """The namespace refuses any other pod, and every object is in it."""
    namespace = named(overlay, "Namespace")["image-tuning"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {
        o["metadata"].get("namespace") for o in golden(overlay) if o["kind"] != "Namespace"
    } == {"image-tuning"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network(overlay):
    """Every pod is under a policy for both directions; egress names its ports; nobody but `job` reaches the servers of dev."""
    policies = named(overlay, "NetworkPolicy").values()
    for kind in ("Job", "StatefulSet"):
        for o in named(overlay, kind).values():
            labels = o["spec"]["template"]["metadata"]["labels"]
            (policy,) = [
                p
                for p in policies
                if p["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
            ]
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
            assert all(rule["ports"] for rule in policy["spec"].get("egress", ()))
            sources = [
                source for rule in policy["spec"].get("ingress", ()) for source in rule["from"]
            ]
            assert sources == (
                [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "image-tuning-job"}}}]
                if kind == "StatefulSet"
                else []
            )


def action(rules: list[dict], code: int, disrupted: bool = False) -> str:
    """Return what a podFailurePolicy does about an exit code, as Kubernetes reads it: the first rule that fits, else Count."""
    for rule in rules:
        if any(
            c["type"] == "DisruptionTarget" and c["status"] == str(disrupted)
            for c in rule.get("onPodConditions", ())
        ):
            return rule["action"]
        on = rule.get("onExitCodes")
        if on and on["operator"] == "In" and on["containerName"] == "job" and code in on["values"]:
            return rule["action"]
    return "Count"


@pytest.mark.parametrize("name", JOBS)
def test_exit_codes(name):
    """Each exit code of `job` has its action, each code of a policy is one of `job`'s; what is killed counts, what is disrupted does not."""
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
    assert {
        code for rule in rules for code in rule.get("onExitCodes", {}).get("values", ())
    } <= EXIT_CODES.keys()


@pytest.mark.parametrize("name", JOBS)
def test_indexed_jobs(name):
    """Stages are Indexed Jobs that never run two pods of an index, and leave time to save; no Job runs twice what it has done."""
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
        assert (
            float(env["JOB_WAIT_S"]) <= 30
        )  # with its start, well below the minute that a pod may hold a GPU for nothing
        limit = pod["volumes"][-1]["emptyDir"]["sizeLimit"]
        assert float(env["JOB_CACHE_GB"]) * 1e9 < int(limit.removesuffix("Gi")) * 2**30
        mounts = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        # A volume is root's, and all may write there: the cache is a folder that `job` makes for itself below one.
        assert "/tmp" in mounts and env.get("JOB_CACHE_DIR", "/tmp/job-cache-<uid>") not in mounts


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_name_exists(overlay):
    """Commands and flags are those of `job`, variables its settings or boto3's or libpq's, objects those of the overlay."""
    variables = (
        {s.variable for s in SETTINGS.values()}
        | {f"{s.variable}_FILE" for s in SETTINGS.values() if s.secret}
        | set(S3_VARIABLES)
    )
    variables |= {"JOB_DATA", "JOB_WEIGHTS", "JOB_SCHEDULER_JOB", "AWS_SHARED_CREDENTIALS_FILE"}
    config, secrets = named(overlay, "ConfigMap"), named(overlay, "Secret")
    assert config["job"]["data"].keys() <= variables
    for name, pod in pods(overlay).items():
        (container,) = pod["containers"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert {m["name"] for m in container["volumeMounts"]} - volumes.keys() <= {"data"}
        assert {
            v["configMap"]["name"] for v in volumes.values() if "configMap" in v
        } <= config.keys()
        made = {v["secret"]["secretName"] for v in volumes.values() if "secret" in v}
        assert made <= (secrets.keys() if overlay == "dev" else {"job"})
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
    """Policies, ConfigMaps and Secrets are made before any pod; Jobs come last, in their turn."""
    order = [(o["kind"], o["metadata"]["name"]) for o in golden(overlay)]
    kinds = [kind for kind, _ in order]
    assert kinds[0] == "Namespace"
    assert [name for kind, name in order if kind == "Job"] == list(JOBS)
    assert kinds[-len(JOBS) :] == ["Job"] * len(JOBS)
    pods_from = min(kinds.index(kind) for kind in ("Job", "StatefulSet") if kind in kinds)
    assert not {"NetworkPolicy", "Secret", "ConfigMap"} & set(kinds[pods_from:])


def test_one_place_for_sizes(tmp_path):
    """What is edited in settings.yaml arrives in every Job it concerns, numbers as numbers."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    settings = tmp_path / "k8s" / "base" / "settings.yaml"
    text = settings.read_text()
    edited = {"image": "mirror/x@sha256:0", "experiment": "mine", "features": "3", "trial": "40", "fold": "15", "final": "9",
              "parallelism": "7", "cpu": "6", "memory": "9Gi", "prepare-cpu": "3 to 4", "prepare-memory": "16Gi to 17Gi",
              "report-cpu": "300m to 5", "report-memory": "3Gi to 5Gi"}  # fmt: skip
    sizes = next(o for o in objects(text) if o["metadata"]["name"] == "sizes")["data"]
    assert edited.keys() == sizes.keys()
    for key, value in edited.items():
        assert f"  {key}: " in text
        head, _, rest = text.partition(f"  {key}: ")
        text = f'{head}  {key}: "{value}"{rest[rest.index(chr(10)) if " #" not in rest.partition(chr(10))[0] else rest.index(" #") :]}'
    settings.write_text(text)
    jobs = {
        o["metadata"]["name"]: o["spec"]
        for o in objects(kustomize(tmp_path / "k8s" / "overlays" / "gpu"))
        if o["kind"] == "Job"
    }
    for name, spec in jobs.items():
        (container,) = spec["template"]["spec"]["containers"]
        env = {e["name"]: e.get("value") for e in container["env"]}
        assert container["image"] == edited["image"]
        if name in STAGES:
            assert (spec["completions"], spec["maxFailedIndexes"], spec["parallelism"]) == (
                int(edited[name]),
                int(edited[name]),
                7,
            )
            assert env["JOB_EXPERIMENT"] == "mine"
        for resource in ("cpu", "memory"):
            size = edited[resource if name in STAGES else f"{name}-{resource}"]
            given = [container["resources"][kind][resource] for kind in ("requests", "limits")]
            assert given == (size.split(" to ") if " to " in size else [size, size])
    assert jobs["prepare"]["template"]["spec"]["containers"][0]["args"][2:] == [
        f"--expect={key}={edited[key]}" for key in ("experiment", *STAGES)
    ]
    assert {
        e["name"]: e.get("value")
        for e in jobs["report"]["template"]["spec"]["containers"][0]["env"]
    }["JOB_EXPERIMENT"] == "mine"


def test_the_defaults_fit_each_other(tmp_path):
    """Sizes are those of the experiment in settings.yaml, which is examples/digits.toml, and a file alone says the same; the image is this version."""
    text = named("gpu", "ConfigMap")["experiment"]["data"]["experiment.toml"]
    assert text == (ROOT / "examples" / "digits.toml").read_text()
    experiment = load(ROOT / "examples" / "digits.toml")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in JOBS:
        (o,) = objects((BASE / f"{name}.yaml").read_text())
        rendered = named("cpu", "Job")[name]["spec"]
        rendered["template"]["spec"].pop("affinity")
        assert rendered == o["spec"]
        assert (
            o["spec"]["template"]["spec"]["containers"][0]["image"]
            == f"image-tuning-job:{version}-cpu"
        )
        if name in STAGES:
            assert o["spec"]["completions"] == sum(experiment.plan()[name].values())
    assert (
        objects((BASE / "trial.yaml").read_text())[0]["spec"]["template"]["spec"]["containers"][0][
            "env"
        ][0]["value"]
        == experiment.name
    )


def texts(part) -> list[str]:
    """Return every text in a part of an object."""
    if isinstance(part, dict | list):
        return [
            text
            for each in (part.values() if isinstance(part, dict) else part)
            for text in texts(each)
        ]
    return [part] if isinstance(part, str) else []


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_image(tmp_path, overlay, layers):
    """Another image by `images:`, in one or two overlays upon ours, leaves the old one nowhere."""
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
        said = {
            text for text in texts(job) if re.search("image-tuning-job[:@]|registry.example", text)
        }
        assert said == {f"registry.example/{layers - 1}@sha256:" + "0" * 64}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_guides_overlay(tmp_path, overlay):
    """The overlay of docs/guides/kubernetes.md keeps the order, and each task records the image that it runs in."""
    (text,) = re.findall(
        r"^```yaml\n(.*?)^```",
        (ROOT / "docs" / "guides" / "kubernetes.md").read_text(),
        re.M | re.S,
    )
    assert "[../gpu]" in text
    folder = tmp_path / "k8s" / "overlays" / "mine"
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(text.replace("../gpu", f"../{overlay}"))
    rendered = objects(kustomize(folder))
    names = [
        [(o["kind"], o["metadata"]["name"]) for o in x[1:]] for x in (rendered, golden(overlay))
    ]
    assert names[0] == names[1]
    assert {o["metadata"].get("namespace", o["metadata"]["name"]) for o in rendered} == {"second"}
    for o in rendered:
        kubernetes_validate.validate(o, VERSIONS[-1], strict=True)
        if o["kind"] == "Job":
            (container,) = o["spec"]["template"]["spec"]["containers"]
            assert container["image"].startswith("registry.example/job@sha256:")
            assert {"name": "JOB_IMAGE_DIGEST", "value": container["image"]} in container["env"]


def test_gpus():
    """In the overlay gpu each task has one GPU and tolerates its nodes' taint; prepare and report have none, nor has any pod elsewhere."""
    for overlay, name in PODS:
        pod = pods(overlay)[name]
        wants = overlay == "gpu" and name in STAGES
        assert pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") == (
            "1" if wants else None
        )
        assert ("tolerations" in pod) == wants


def test_data_on_a_volume(tmp_path):
    """The component data-pvc gives prepare, and no other pod, the claim `data` to read."""
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
