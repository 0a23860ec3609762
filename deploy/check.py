"""Check the files in deploy/ with the tools of the systems that read them: `make deploy-check`.

Each check needs a tool; one that is not installed is named, and with `--require-all` it is an error.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
OPERATOR = "monitoring.coreos.com"
MAX_EXPOSURE = 16  # of systemd-analyze security, in tenths: 0 is a unit that may do nothing, 100 one without limits


class CheckFailed(Exception):
    """A tool rejects a file; the message is what it says."""


@dataclass(frozen=True)
class Check:
    """A check, and the tool that it needs: a program, or a module of Python."""

    name: str
    tool: str
    source: str  # where the tool comes from
    run: Callable[[Path, Path], object]  # its arguments are the root of a checkout and an empty folder

    @property
    def available(self) -> bool:
        return find_tool(self.tool) is not None


def find_tool(name: str) -> str | None:
    """Return the path of a program, beside this interpreter or on PATH, or the name of a module of Python."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=beside) or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    return found or (name if name.isidentifier() and find_spec(name) else None)


def call(*command: str | Path, warnings: bool = True) -> str:
    """Run a tool and return its output.

    Raises:
        CheckFailed: its exit status is not 0; or, unless `warnings` are allowed, it warns.
    """
    program = find_tool(str(command[0]))
    assert program is not None, command[0]
    done = subprocess.run([program, *map(str, command[1:])], capture_output=True, text=True)
    if done.returncode or (done.stderr and not warnings):
        raise CheckFailed((done.stdout + done.stderr).strip())
    return done.stdout


def prometheus_rules(root: Path, _: Path) -> None:
    call("promtool", "check", "rules", root / "deploy/prometheus/rules.yml")
    call("promtool", "test", "rules", root / "deploy/prometheus/rules_test.yml")


def prometheus_config(root: Path, _: Path) -> None:
    call("promtool", "check", "config", root / "deploy/prometheus/prometheus.yml")


def compose_schema(root: Path, _: Path) -> None:
    call("check-jsonschema", "--builtin-schema", "vendor.compose-spec", root / "deploy/compose.yaml")


def workflow_schema(root: Path, _: Path) -> None:
    call("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *(root / ".github/workflows").iterdir())


def kustomized(root: Path) -> list[dict[str, Any]]:
    """Return the resources that `kubectl apply --kustomize deploy/kubernetes/monitoring` sends."""
    return list(yaml.safe_load_all(call("kubectl", "kustomize", root / "deploy/kubernetes/monitoring")))


def kubernetes_schema(root: Path, folder: Path) -> None:
    """Check the resources of Kubernetes' own kinds, unknown members included."""
    for resource in kustomized(root):
        if not resource["apiVersion"].startswith(OPERATOR):
            path = folder / f"{resource['kind']}.yaml"
            path.write_text(yaml.safe_dump(resource), "utf-8")
            call("kubernetes-validate", "--strict", path)


def operator_schema(definitions: Path) -> Callable[[Path, Path], None]:
    """Return the check of Prometheus Operator's kinds, against a folder with its resource definitions."""

    def check(root: Path, folder: Path) -> None:
        for resource in kustomized(root):
            if resource["apiVersion"].startswith(OPERATOR):
                schema = folder / f"{resource['kind']}.schema.json"
                definition = definitions / f"{OPERATOR}_{resource['kind'].lower()}s.yaml"
                schema.write_text(json.dumps(_strict(_schema(definition))), "utf-8")
                path = folder / f"{resource['kind']}.yaml"
                path.write_text(yaml.safe_dump(resource), "utf-8")
                call("check-jsonschema", "--schemafile", schema, path)

    return check


def _schema(definition: Path) -> Any:
    (version,) = (one for one in yaml.safe_load(definition.read_text("utf-8"))["spec"]["versions"] if one["served"])
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {}  # checked by Kubernetes itself
    return schema


def _strict(schema: Any) -> Any:
    """Return a schema that allows no members that it does not list."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(value) for name, value in schema.items()}
    if "(?i)" in str(strict.get("pattern")):  # Go's way to ignore case, which is no regular expression of JSON Schema
        del strict["pattern"]
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def grafana_schema(root: Path, _: Path) -> None:
    """Read the dashboard into Grafana's own types and back: a member that they do not know is lost on the way."""
    import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    dashboard = json.loads((root / "deploy/grafana/dashboards/attendant.json").read_text("utf-8"))
    types, encoder = (import_module(f"grafana_foundation_sdk.{name}") for name in ("models.dashboard", "cog.encoder"))
    known = json.loads(encoder.JSONEncoder().encode(types.Dashboard.from_json(dashboard)))
    if lost := list(_lost(dashboard, known, "dashboard")):
        raise CheckFailed("\n".join(lost))


def _lost(given: Any, known: Any, where: str) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(known, dict):
        for name, value in given.items():
            if name in known:
                yield from _lost(value, known[name], f"{where}.{name}")
            else:
                yield f"{where}.{name} is not a member that Grafana knows"
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for index, pair in enumerate(zip(given, known, strict=True)):
            yield from _lost(*pair, f"{where}[{index}]")
    elif given != known:
        yield f"{where} is {given!r}, which Grafana reads as {known!r}"


def nginx_config(root: Path, folder: Path) -> None:
    """Have nginx read the configuration, with a certificate made for the purpose."""
    make_certificate(folder)
    write_nginx_config(folder, (root / "deploy/nginx/attendant.conf").read_text("utf-8"))
    call("nginx", "-t", "-q", "-p", folder, "-c", folder / "nginx.conf", warnings=False)


def make_certificate(folder: Path) -> None:
    """Write a certificate for a few days, and its key, into a folder."""
    # fmt: off
    call("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
         "-subj", "/CN=translate.example.org", "-keyout", folder / "key.pem", "-out", folder / "certificate.pem")
    # fmt: on


def write_nginx_config(folder: Path, text: str) -> None:
    """Write an nginx.conf with our configuration inside, the certificate of the folder, and all files below it."""
    text = re.sub(r"ssl_certificate\s+\S+;", f"ssl_certificate {folder}/certificate.pem;", text)
    text = re.sub(r"ssl_certificate_key\s+\S+;", f"ssl_certificate_key {folder}/key.pem;", text)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}\n{text}}}\n",
        "utf-8",
    )


def systemd_unit(root: Path, folder: Path) -> None:
    """Have systemd read the unit, and rate how much its process may do."""
    text = (root / "deploy/systemd/attendant.service").read_text("utf-8")
    unit = folder / "attendant.service"  # with an interpreter that exists
    unit.write_text(text.replace("/opt/attendant/.venv/bin/python", sys.executable), "utf-8")
    call("systemd-analyze", "verify", unit, warnings=False)  # it ignores a misspelt name
    call("systemd-analyze", "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", unit)


CHECKS = (
    Check("Prometheus rules and their tests", "promtool", "Debian: prometheus", prometheus_rules),
    Check("Prometheus configuration", "promtool", "Debian: prometheus", prometheus_config),
    Check("compose.yaml", "check-jsonschema", "PyPI: check-jsonschema", compose_schema),
    Check("GitHub workflows", "check-jsonschema", "PyPI: check-jsonschema", workflow_schema),
    Check("Kubernetes resources", "kubernetes-validate", "PyPI: kubernetes-validate, and kubectl", kubernetes_schema),
    Check("Grafana dashboard", "grafana_foundation_sdk", "PyPI: grafana-foundation-sdk", grafana_schema),
    Check("nginx configuration", "nginx", "Debian: nginx-light, openssl", nginx_config),
    Check("systemd unit", "systemd-analyze", "Debian: systemd", systemd_unit),
)


def run(check: Check, root: Path = ROOT) -> str:
    """Run a check of a checkout and return its result: an empty string, or what the tool says."""
    with tempfile.TemporaryDirectory(prefix="attendant-check-") as folder:
        try:
            check.run(root, Path(folder))
        except CheckFailed as failed:
            return str(failed) or "failed without a message"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks whose tools are installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--require-all", action="store_true", help="fail where a tool is not installed")
    parser.add_argument(
        "--definitions",
        type=Path,
        help="folder with Prometheus Operator's resource definitions (its example/prometheus-operator-crd)",
    )
    options = parser.parse_args(arguments)
    checks = list(CHECKS)
    if options.definitions:
        schema = operator_schema(options.definitions)
        checks.append(Check("Prometheus Operator resources", "check-jsonschema", "PyPI: check-jsonschema", schema))
    failures = missing = 0
    for check in checks:
        if not check.available:
            missing += 1
            sys.stdout.write(f"not checked  {check.name}: needs {check.tool} ({check.source})\n")
            continue
        problem = run(check)
        failures += bool(problem)
        sys.stdout.write(f"{'FAILED' if problem else 'ok':11}  {check.name}\n")
        sys.stdout.write(f"{problem}\n" if problem else "")
        sys.stdout.flush()
    return 1 if failures or (missing and options.require_all) else 0


if __name__ == "__main__":
    sys.exit(main())
