"""Files of deploy/ that repeat another one in a different format."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
HEADER = """\
# Written by `make docs` from deploy/prometheus/rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: attendant
  labels: {app.kubernetes.io/name: attendant}
spec:
"""


def prometheus_rule() -> str:
    """Return the alerts as a resource of the Prometheus Operator; kustomize reads no file outside of its folder."""
    groups = RULES.read_text("utf-8").partition("\ngroups:\n")[2]
    return HEADER + textwrap.indent(f"groups:\n{groups}", "  ")


FILES: Mapping[str, Callable[[], str]] = {"deploy/kubernetes/monitoring/prometheus_rule.yaml": prometheus_rule}
