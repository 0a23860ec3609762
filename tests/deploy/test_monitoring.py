"""Prometheus rules, the dashboard and scaling use metrics, labels and runbook entries that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase

from service.metrics import Metrics
from tests.docs.test_links import anchors

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "attendant.json").read_text("utf-8"))
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text("utf-8"))["groups"][0]["rules"]
SERIES = re.compile(r"\b(attendant_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
ADDED = {"job", "instance", "namespace", "pod"}  # labels that Prometheus adds
SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count", "_created")}


def series() -> dict[str, set[str]]:
    """Return the series of /metrics with their labels."""
    found = {}
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            for suffix in SUFFIXES[family.type]:
                bucket = {"le"} if suffix == "_bucket" else set()
                found[family.name + suffix] = ADDED | bucket | set(metric._labelnames)
    return found


def expressions() -> Iterator[str]:
    """Yield the expressions of the alerts, the dashboard and the Prometheus adapter."""
    yield from (rule["expr"] for rule in RULES)
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (
        variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"
    )
    adapter = DEPLOY / "kubernetes" / "monitoring" / "prometheus_adapter_values.yaml"
    yield from (rule["seriesQuery"] for rule in yaml.safe_load(adapter.read_text("utf-8"))["rules"]["custom"])


def test_metrics_and_labels_exist() -> None:
    known, used = series(), set[str]()
    for expression in expressions():
        named = {name: MATCHER.findall(matchers) for name, matchers in SERIES.findall(expression)}
        used |= named.keys()
        assert named.keys() <= known.keys(), expression
        for name, labels in named.items():
            assert set(labels) <= known[name], expression
        grouped = {label for labels in GROUPING.findall(expression) for label in re.findall(r"\w+", labels)}
        assert all(grouped <= known[name] for name in named), expression
    assert len(used) > 20


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for expression in expressions() for name, _ in SERIES.findall(expression)}
    families = {re.sub(r"_(total|created|bucket|sum|count)$", "", name) for name in shown}
    missing = {re.sub(r"_(total|created|bucket|sum|count)$", "", name) for name in series()} - families
    assert missing == set()


def test_every_alert_has_a_runbook_entry_a_test_and_a_severity() -> None:
    names = [rule["alert"] for rule in RULES]
    tested = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yml").read_text("utf-8"))["tests"]
    assert [test["name"] for test in tested[1:]] == names
    headings = anchors(ROOT / "docs" / "operations.md")
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page.endswith("/docs/operations.md")
        assert anchor == rule["alert"].lower()
        assert anchor in headings
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_dashboard_panels_have_distinct_ids_and_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for box in (panel["gridPos"] for panel in panels)
        for x in range(box["x"], box["x"] + box["w"])
        for y in range(box["y"], box["y"] + box["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_scaling_uses_the_metric_that_the_adapter_offers() -> None:
    folder = DEPLOY / "kubernetes" / "monitoring"
    scaler = yaml.safe_load((folder / "horizontal_pod_autoscaler.yaml").read_text("utf-8"))
    (pods,) = (metric["pods"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Pods")
    (rule,) = yaml.safe_load((folder / "prometheus_adapter_values.yaml").read_text("utf-8"))["rules"]["custom"]
    assert re.match(pods["metric"]["name"] + r"\{", rule["seriesQuery"])
