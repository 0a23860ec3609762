"""Write a software bill of materials in CycloneDX: `make sbom`, or `python deploy/sbom.py FILE`.

It has the packages of requirements.lock, with the hashes of their files, and the models with those of theirs.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[1]


class InvalidBom(Exception):
    """The document does not follow the schema of CycloneDX."""


def packages(root: Path) -> dict[str, Any]:
    """Return the bill of materials of the packages."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--pyproject",
               str(root / "pyproject.toml"), str(root / "requirements.lock")]  # fmt: skip
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def model(artifact: Path) -> dict[str, Any]:
    """Return the component of a model: its files and their hashes, as its manifest has them."""
    manifest = json.loads((artifact / "manifest.json").read_text("utf-8"))
    name = manifest["name"]
    files = [
        {
            "type": "file",
            "name": file,
            "bom-ref": f"model:{name}/{file}",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for file, digest in sorted(manifest["files"].items())
    ]
    return {
        "type": "machine-learning-model",
        "name": name,
        "version": str(manifest["version"]),
        "bom-ref": f"model:{name}",
        "components": files,
    }


def bill_of_materials(root: Path = ROOT) -> str:
    """Return the whole document.

    Raises:
        InvalidBom: it does not follow the schema.
    """
    document = packages(root)
    artifacts = sorted(path.parent for path in (root / "models").glob("*/manifest.json"))
    document["components"] += [model(artifact) for artifact in artifacts]
    text = json.dumps(document, indent=1) + "\n"
    if problem := JsonStrictValidator(SchemaVersion.from_version(document["specVersion"])).validate_str(text):
        raise InvalidBom(str(problem))
    return text


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}")
        return 2
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bill_of_materials(), "utf-8")
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
