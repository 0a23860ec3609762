"""Compose, Kubernetes, systemd and nginx agree with the service, with the image and with each other."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.http.auth import PUBLIC_PATHS
from service.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
NOT_RESOURCES = {"kustomization.yaml", "prometheus_adapter_values.yaml"}


def resource(name: str) -> dict[str, Any]:
    (path,) = KUBERNETES.glob(f"*/{name}.yaml")
    document: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return document


DEPLOYMENT = resource("deployment")["spec"]
POD = DEPLOYMENT["template"]["spec"]
CONTAINER = POD["containers"][0]


def variables(where: str) -> dict[str, str]:
    """Return the settings that a way of deployment makes."""
    if where == "compose":
        found = COMPOSE["services"]["attendant"]["environment"]
    elif where == "kubernetes":
        found = {one["name"]: one["value"] for one in CONTAINER["env"]}
    else:
        lines = (DEPLOY / "systemd" / "attendant.env").read_text("utf-8").splitlines()
        found = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    return {name: value for name, value in found.items() if name.startswith(PREFIX)}


def image_port() -> int:
    (port,) = re.findall(r"ATTENDANT_PORT=(\d+)", DOCKERFILE)
    return int(port)


def test_only_settings_that_exist_are_named() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for path in (file for file in DEPLOY.rglob("*") if file.is_file() and file.suffix != ".pyc"):
        assert set(re.findall(r"\bATTENDANT_[A-Z_]+", path.read_text("utf-8"))) <= known, path


@pytest.mark.parametrize(
    ("where", "grace"),
    [
        ("compose", COMPOSE["services"]["attendant"]["stop_grace_period"].removesuffix("s")),
        ("kubernetes", POD["terminationGracePeriodSeconds"]),
        ("systemd", re.findall(r"TimeoutStopSec=(\d+)s", (DEPLOY / "systemd" / "attendant.service").read_text())[0]),
    ],
)
def test_settings_are_valid_and_leave_time_to_stop(
    monkeypatch: pytest.MonkeyPatch, where: str, grace: int | str
) -> None:
    for name, value in variables(where).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert float(grace) >= settings.lame_duck_seconds + settings.drain_timeout_seconds + 5


def test_ports_are_that_of_the_image() -> None:
    (published,) = COMPOSE["services"]["attendant"]["ports"]
    assert published.split(":")[-1] == str(image_port())
    assert f":{image_port()}/readyz" in COMPOSE["services"]["attendant"]["healthcheck"]["test"][-1]
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": image_port()}]
    (scrape,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert scrape["static_configs"][0]["targets"] == [f"attendant:{image_port()}"]
    (monitored,) = resource("service_monitor")["spec"]["endpoints"]
    assert {scrape["metrics_path"], monitored["path"]} == {"/metrics"} <= PUBLIC_PATHS
    (port,) = resource("service")["spec"]["ports"]
    assert port["targetPort"] == "http"
    assert port["name"] == monitored["port"] == "http"
    assert resource("network_policy")["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": "http"}]


def test_probes_ask_public_paths() -> None:
    probes = [CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {"http"}
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz", "/healthz"]
    assert {probe["path"] for probe in probes} <= PUBLIC_PATHS


def test_selectors_find_the_pods() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert DEPLOYMENT["selector"]["matchLabels"] == labels
    assert resource("service")["spec"]["selector"] == labels
    assert resource("network_policy")["spec"]["podSelector"]["matchLabels"] == labels
    assert resource("pod_disruption_budget")["spec"]["selector"]["matchLabels"] == labels
    assert resource("service_monitor")["spec"]["selector"]["matchLabels"] == resource("service")["metadata"]["labels"]
    target = resource("horizontal_pod_autoscaler")["spec"]["scaleTargetRef"]
    assert target == {key: resource("deployment")[key] for key in ("apiVersion", "kind")} | {"name": "attendant"}


def test_pods_are_hardened_and_run_as_the_user_of_the_image() -> None:
    (user,) = re.findall(r"^USER (\d+):", DOCKERFILE, re.M)
    assert POD["securityContext"]["runAsUser"] == int(user)
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert POD["enableServiceLinks"] is False
    for name, one in COMPOSE["services"].items():
        assert one["read_only"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name


@pytest.mark.parametrize("folder", ["base", "monitoring"])
def test_kustomizations_list_every_resource(folder: str) -> None:
    kustomization = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text("utf-8"))
    files = {path.name for path in (KUBERNETES / folder).glob("*.yaml")} - NOT_RESOURCES
    assert {name for name in kustomization["resources"] if "/" not in name} == files


def test_files_that_compose_mounts_exist() -> None:
    for one in COMPOSE["services"].values():
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), volume
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/attendant.yaml").read_text("utf-8"))
    assert f":{provider['providers'][0]['options']['path']}:" in "".join(COMPOSE["services"]["grafana"]["volumes"])


def test_the_proxy_allows_what_the_service_allows() -> None:
    text = (DEPLOY / "nginx" / "attendant.conf").read_text("utf-8")
    settings = Settings()
    assert int(re.findall(r"client_max_body_size (\d+)m;", text)[0]) * 1_000_000 > settings.max_document_bytes
    assert int(re.findall(r"proxy_read_timeout (\d+)s;", text)[0]) > settings.request_timeout_seconds
