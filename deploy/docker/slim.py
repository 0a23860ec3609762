"""Removes from the image's venv what the service never imports; run by the Dockerfile with that venv's python.

tokenizers needs huggingface-hub only to download tokenizers by name, onnxruntime needs protobuf and flatbuffers only
for its model tools. Those are cut from the dependency graph; every distribution no longer reached goes, pip included.
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
CUT = {"huggingface-hub", "protobuf", "flatbuffers"}
UNUSED = [
    "onnxruntime/capi/libonnxruntime.so*",  # for C programs; the Python extension carries its own copy
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


def reached(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    found: set[str] = {canonicalize_name(name)}
    for line in distribution(name).requires or []:
        needed = Requirement(line)
        wanted = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras})
        if wanted and canonicalize_name(needed.name) not in CUT:
            found |= reached(needed.name, frozenset(needed.extras))
    return found


def size(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    site = Path(sysconfig.get_path("purelib"))
    before = size(site)
    useless = sorted({canonicalize_name(each.name) for each in distributions()} - reached(PROJECT))
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *useless], check=True)
    for pattern in UNUSED:
        for path in list(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    sys.stdout.write(f"removed {', '.join(useless)}\nsite-packages: {before:.0f} MB -> {size(site):.0f} MB\n")


if __name__ == "__main__":
    main()
