"""Remove from the image's venv what the service never imports. The Dockerfile runs it with the venv's python.

tokenizers needs huggingface-hub only to download tokenizers by name; onnxruntime needs flatbuffers only for its model
tools. These dependencies are ignored, and every distribution that is then unused is uninstalled, pip
included.
"""

import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "attendant-serve"
IGNORED_DEPENDENCIES = {"huggingface-hub", "flatbuffers"}
EXTRAS = frozenset({"grpc"})  # that the Dockerfile installs
UNUSED_FILES = [
    "onnxruntime/capi/libonnxruntime.so*",  # for C programs; the Python extension has its own copy
    "onnxruntime/transformers",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/datasets",
    "numpy/f2py",
    "numpy/distutils",
    "numpy/_core/include",
    "**/tests",
    "**/*.a",
    "**/*.pyi",
]


def required(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return a distribution and, recursively, the ones that it needs here with these extras."""
    found: set[str] = {canonicalize_name(name)}
    for line in distribution(name).requires or []:
        needed = Requirement(line)
        applies = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras})
        if applies and canonicalize_name(needed.name) not in IGNORED_DEPENDENCIES:
            found |= required(needed.name, frozenset(needed.extras))
    return found


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    site = Path(sysconfig.get_path("purelib"))
    before = megabytes(site)
    unused = sorted({canonicalize_name(each.name) for each in distributions()} - required(PROJECT, EXTRAS))
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *unused], check=True)
    for pattern in UNUSED_FILES:
        for path in list(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    sys.stdout.write(f"removed {', '.join(unused)}\nsite-packages: {before:.0f} MB -> {megabytes(site):.0f} MB\n")


if __name__ == "__main__":
    main()
