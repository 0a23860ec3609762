"""`make deploy-check`, with the tools that are installed, on the files of the project and on broken ones."""

import shutil
from pathlib import Path

import pytest

from deploy.check import CHECKS, ROOT, Check, CheckFailed, call, find_tool, operator_schema, run

DEFINITION = """
spec:
  versions:
    - served: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec: {type: object, properties: {SPEC: {type: array}}}
"""


def need(check: Check) -> None:
    if not check.available:
        pytest.skip(f"{check.tool} is not installed ({check.source})")


def check_named(name: str) -> Check:
    (found,) = (check for check in CHECKS if check.name == name)
    need(found)
    return found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_files_are_accepted_by_the_systems_that_read_them(check: Check) -> None:
    need(check)
    assert run(check) == ""


@pytest.mark.parametrize(
    ("name", "file", "right", "wrong", "message"),
    [
        ("Prometheus rules and their tests", "prometheus/rules.yml", "== 0", "= 0", "parse"),
        ("Prometheus rules and their tests", "prometheus/rules.yml", "for: 1m", "for: 9m", "AttendantDown"),
        ("Prometheus configuration", "prometheus/prometheus.yml", "scrape_interval", "scrape_every", "scrape_every"),
        ("compose.yaml", "compose.yaml", "pids_limit: 256", "pids: 256", "pids"),
        ("Kubernetes resources", "kubernetes/base/deployment.yaml", "maxSurge", "maxSurges", "maxSurges"),
        ("Grafana dashboard", "grafana/dashboards/attendant.json", '"gridPos"', '"position"', "position"),
        ("nginx configuration", "nginx/attendant.conf", "proxy_buffering", "proxy_buffer", "proxy_buffer"),
        ("systemd unit", "systemd/attendant.service", "LimitNOFILE", "LimitFiles", "LimitFiles"),
        ("systemd unit", "systemd/attendant.service", "CapabilityBoundingSet=", "AmbientCapabilities=", ""),
    ],
)
def test_a_broken_file_is_found(tmp_path: Path, name: str, file: str, right: str, wrong: str, message: str) -> None:
    check = check_named(name)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "deploy" / file
    text = path.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), "utf-8")
    problem = run(check, tmp_path)
    assert problem
    assert message in problem


def test_resources_of_the_operator_may_have_no_unknown_members(tmp_path: Path) -> None:
    if find_tool("kubectl") is None or find_tool("check-jsonschema") is None:
        pytest.skip("kubectl or check-jsonschema is not installed")
    check = Check("operator", "kubectl", "", operator_schema(tmp_path))
    for name, members in (("prometheusrule", "groups: {type: array}"), ("servicemonitor", "endpoints: {type: array}")):
        path = tmp_path / f"monitoring.coreos.com_{name}s.yaml"
        path.write_text(DEFINITION.replace("SPEC: {type: array}", members), "utf-8")
    assert "'selector' was unexpected" in run(check)  # of the ServiceMonitor, which the definition above does not have


def test_a_tool_that_rejects_a_file_says_why() -> None:
    with pytest.raises(CheckFailed, match="No such file"):
        call("cat", "/nonexistent")


def test_tools_are_programs_or_modules() -> None:
    assert find_tool("cat")
    assert find_tool("json") == "json"
    assert find_tool("no-such-tool") is None
    assert find_tool("no_such_tool") is None
