"""The faults cover the alerts, and the compressed rules are the same rules."""

import json
from pathlib import Path

import pytest
import yaml

from benchmarks.operations.alert_faults import FAULTS
from benchmarks.operations.alerts import FACTOR, kept_rows
from benchmarks.operations.prometheus import RULES, compress, longest_seconds

TEXT = RULES.read_text("utf-8")
NAMES = {rule["alert"] for rule in yaml.safe_load(TEXT)["groups"][0]["rules"]}


def test_every_alert_has_a_fault() -> None:
    assert {name for fault in FAULTS for name in fault.alerts} == NAMES
    assert {name for fault in FAULTS for name in fault.may_fire} <= NAMES
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_compressed_rules_differ_in_their_times_alone() -> None:
    text = "expr: rate(a[5m]) > 0.25\nfor: 10m\nsummary: waits 5m"
    assert compress(text, 20) == "expr: rate(a[15s]) > 0.25\nfor: 30s\nsummary: waits 5m"
    with pytest.raises(ValueError, match="whole seconds"):
        compress("for: 1m", 7)
    assert longest_seconds(compress(TEXT, FACTOR)) == longest_seconds(TEXT) / FACTOR


def test_rows_of_other_faults_are_kept(tmp_path: Path) -> None:
    path, (one, other, *_) = tmp_path / "alerts.json", FAULTS
    rows = [{"fault": one.name, "right": True}, {"fault": other.name}, {"fault": "a fault of last year"}]
    path.write_text(json.dumps({"rows": rows}), "utf-8")
    assert kept_rows(path, {other.name}) == [rows[0]]
