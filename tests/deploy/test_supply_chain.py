"""The lock has the tested versions, with hashes; the image installs it; the bill of materials lists it."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.docker.slim import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.!+-]+)", re.M)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def pins(file: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in PIN.findall((ROOT / file).read_text("utf-8"))}


def lock_entries() -> list[str]:
    text = (ROOT / "requirements.lock").read_text("utf-8")
    return re.split(r"\n(?=[a-z])", text.partition("make lock\n")[2])


def test_the_lock_has_the_tested_versions_of_all_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    locked, tested = pins("requirements.lock"), pins("constraints.txt")
    for line in project["dependencies"] + extras:
        needed = Requirement(line)
        assert needed.specifier.contains(locked[canonicalize_name(needed.name)], prereleases=True), line
    # What other systems than Linux need besides is not in constraints.txt.
    assert {name: tested[name] for name in locked if name in tested} == {
        name: version for name, version in locked.items() if name in tested
    }
    assert len(locked.keys() & tested.keys()) > 40


def test_every_file_in_the_lock_has_a_hash() -> None:
    entries = lock_entries()
    assert len(entries) == len(pins("requirements.lock"))
    for entry in entries:
        assert HASH.search(entry), entry
        assert "://" not in entry


def test_the_image_installs_the_lock_and_nothing_else() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    install, for_gpus = re.findall(r"pip install .*", dockerfile)
    assert "--require-hashes -r requirements.lock" in install
    assert "onnxruntime-gpu" in for_gpus
    assert "!requirements.lock" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def test_the_image_says_its_version_and_revision() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    build = (ROOT / "deploy" / "docker" / "build_image.sh").read_text("utf-8")
    for name in ("version", "revision"):
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in dockerfile
        assert f'--build-arg {name.upper()}="${name}"' in build


@pytest.mark.skipif(
    find_spec("cyclonedx") is None, reason="cyclonedx-bom is not installed: see deploy/requirements.txt"
)
def test_the_bill_of_materials_lists_packages_and_models(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "sbom.json"
    subprocess.run([sys.executable, str(ROOT / "deploy" / "sbom.py"), str(path)], check=True, capture_output=True)
    components = json.loads(path.read_text("utf-8"))["components"]
    libraries = {one["name"]: one["version"] for one in components if one["type"] == "library"}
    assert {canonicalize_name(name): version for name, version in libraries.items()} == pins("requirements.lock")
    models = {one["name"]: one for one in components if one["type"] == "machine-learning-model"}
    assert models.keys() == {path.parent.name for path in (ROOT / "models").glob("*/manifest.json")}
    for model in models.values():
        assert all(len(file["hashes"][0]["content"]) == 64 for file in model["components"])
