"""The manifests of config/kubernetes follow the schemas of Kubernetes, and run what docker-compose.yml runs.

No cluster is needed. Whether a pod starts, whether a network applies the policies, and the resources of CloudNativePG
are not tested. The overlays are built by `kubectl kustomize` where the machine has kubectl.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.deploy.compose import ROOT, example, seconds, services

FOLDER = ROOT / "config/kubernetes"
OVERLAYS = ("small", "large")
OURS = {"doors", "web", "worker", "beat", "migrate"}
# The oldest version that Kubernetes supported at our release, and the newest one then.
VERSIONS = ("1.33", "1.36")
POD_KINDS = {"Deployment", "StatefulSet", "Job"}
# Patches and the lists of kustomize are no resources.
PARTS = {"kustomization.yaml", "ours.yaml", "owner.yaml", "addresses.yaml"}
# Their operator has their schema.
FOREIGN = {"Cluster"}

Resource = dict[str, Any]


def resources_of(path: Path) -> list[Resource]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def plain() -> list[Path]:
    return [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name not in PARTS]


@pytest.fixture(scope="module", params=OVERLAYS)
def built(request: pytest.FixtureRequest) -> list[Resource]:
    """The resources of an overlay, as Kubernetes gets them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, so the overlays of config/kubernetes are not built")
    command = [kubectl, "kustomize", str(FOLDER / request.param)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unknown field" in done.stderr:
        pytest.skip(f"this kubectl is too old for config/kubernetes: {done.stderr[:200]}")
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def is_valid(resource: Resource) -> bool:
    if resource["kind"] not in FOREIGN:
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)
    return True


def pods(resources: list[Resource]) -> dict[str, Resource]:
    """By name of the workload, the specification of its pods."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]["spec"]
        for found in resources
        if found["kind"] in POD_KINDS
    }


def base() -> dict[str, Resource]:
    return pods([found for path in (FOLDER / "base").glob("*.yaml") if path in plain() for found in resources_of(path)])


def main_of(pod: Resource) -> Resource:
    found: Resource = next(one for one in pod["containers"] if one["name"] == "main")
    return found


@pytest.mark.parametrize("path", plain(), ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_file_follows_the_schemas(path: Path) -> None:
    found = resources_of(path)
    # A pod of ours gets its image and user from ours.yaml, and the schema asks for no more than a name.
    assert found != []
    assert all(map(is_valid, found))


def test_the_built_overlays_follow_the_schemas(built: list[Resource]) -> None:
    assert all(map(is_valid, built))


def test_the_pods_run_the_commands_of_docker_compose() -> None:
    compose = services()
    for name in ("doors", "web", "worker", "migrate"):
        as_there = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in compose[name]["command"]]
        assert main_of(base()[name])["command"] == as_there, name
    beat = [word.replace("beat-a@", "beat@") for word in compose["beat-a"]["command"]]
    assert main_of(base()["beat"])["command"] == beat


def test_the_images_of_other_projects_are_those_of_docker_compose() -> None:
    kept = [one for one in services().values() if "profiles" not in one]  # on Kubernetes, the operator brings a pooler
    told = {one["image"] for one in kept if not one["image"].startswith("flashsale:")}
    resources = [found for path in plain() for found in resources_of(path)]
    used = {one["image"] for pod in pods(resources).values() for one in pod["containers"] if "image" in one}
    assert used == told


def test_a_pod_gets_at_least_the_time_to_end_that_compose_gives() -> None:
    compose = services()
    for name in ("doors", "web", "worker"):
        least = seconds(compose[name]["stop_grace_period"])
        hook = main_of(base()[name]).get("lifecycle", {"preStop": {"exec": {"command": ["sleep", "0"]}}})
        waits = float(hook["preStop"]["exec"]["command"][1])
        assert base()[name]["terminationGracePeriodSeconds"] - waits >= least, name


def test_what_serves_has_probes_and_a_disruption_budget() -> None:
    resources = [found for path in plain() for found in resources_of(path)]
    budgets = {found["metadata"]["name"] for found in resources if found["kind"] == "PodDisruptionBudget"}
    assert budgets == {"doors", "web", "nginx", "beat"}
    for name, pod in pods(resources).items():
        probes = {probe for probe in ("readinessProbe", "livenessProbe") if probe in main_of(pod)}
        expected = (
            set()
            if name == "migrate"
            else {"livenessProbe"}
            if name in {"worker", "beat"}
            else {"readinessProbe", "livenessProbe"}
        )
        assert probes == expected, name


def test_a_restart_never_follows_from_a_store_that_does_not_answer() -> None:
    for name in ("doors", "web"):
        assert main_of(base()[name])["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert main_of(base()[name])["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_no_pod_is_root_writes_to_its_image_or_calls_kubernetes(built: list[Resource]) -> None:
    for name, pod in pods(built).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for one in pod["containers"] + pod.get("initContainers", []):
            tight = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert one["securityContext"] == tight, (name, one["name"])
            assert {"cpu", "memory"} <= one["resources"]["requests"].keys(), (name, one["name"])
            assert "memory" in one["resources"]["limits"], (name, one["name"])


def test_every_reference_to_a_variable_stands_below_that_variable(built: list[Resource]) -> None:
    for name, pod in pods(built).items():
        for one in pod["containers"] + pod.get("initContainers", []):
            known: set[str] = set()
            for variable in one.get("env", []):
                needed = set(re.findall(r"\$\((\w+)\)", variable.get("value", "")))
                assert needed <= known, (name, one["name"], variable["name"])
                assert variable["name"] not in known, (name, variable["name"])
                known.add(variable["name"])


def test_secrets_come_from_the_file_that_docker_compose_reads(built: list[Resource]) -> None:
    names = {entry.name for entry in example()} | {"REDIS_URL", "BROKER_URL"}
    for name, pod in pods(built).items():
        for one in pod["containers"] + pod.get("initContainers", []):
            keys = {v["valueFrom"]["secretKeyRef"]["key"] for v in one.get("env", []) if "valueFrom" in v}
            assert keys <= names, (name, keys - names)
            assert not any(re.search(r"://[^@$]*:[^@$]+@", v.get("value", "")) for v in one.get("env", [])), name


def test_only_the_job_has_the_password_of_the_tables_owner(built: list[Resource]) -> None:
    told = {
        name
        for name, pod in pods(built).items()
        for one in pod["containers"]
        if name in OURS and "postgres://flashsale:" in str(one.get("env"))
    }
    assert told == {"migrate"}
    # It would wait for itself.
    assert "initContainers" not in pods(built)["migrate"]


def test_policies_and_services_name_pods_that_exist(built: list[Resource]) -> None:
    apps = {found["spec"]["template"]["metadata"]["labels"]["app"] for found in built if found["kind"] in POD_KINDS}
    named = {
        word
        for found in built
        if found["kind"] in {"NetworkPolicy", "Service", "PodDisruptionBudget"}
        for word in re.findall(r"'app': '([\w-]+)'|'values': \[([^\]]*)\]", str(found["spec"]))
        for word in re.findall(r"[\w-]+", "".join(word))
    }
    assert named <= apps | {"monitoring"}
    assert apps >= OURS


def test_nginx_gets_the_names_of_the_cluster() -> None:
    command = main_of(base()["nginx"])["command"][-1]
    conf = (ROOT / "config/nginx.conf").read_text()
    replaced = re.findall(r"'s/([^/]+)/([^/]+)/'", command)
    assert [old for old, _ in replaced] == ["server doors:8000 ", "server web:8000 "]
    for old, new in [*replaced, ("resolver 127.0.0.11 ", "resolver 10.96.0.10 ")]:
        assert old in conf
        conf = conf.replace(old, new)
    assert re.findall(r"server (?!doors\.|web\.)\w+:8000", conf) == []
    assert "doors.flashsale.svc.cluster.local:8000" in conf
    script = command.split("sed ", 1)[1].split("/etc/flashsale/nginx.conf")[0]
    shell = f"sed {script} {ROOT}/config/nginx.conf".replace("/etc/resolv.conf", "/dev/stdin")
    done = subprocess.run(
        ["sh", "-c", shell], input="search x\nnameserver 10.96.0.10\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == conf
