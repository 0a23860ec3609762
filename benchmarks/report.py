"""Write one HTML report of several benchmarks, from the JSON files of their `--json`.

python -m benchmarks.report reports/*.json --output reports/report.html
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.common.report import REQUIRED, report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="written by benchmarks")
    parser.add_argument("--output", type=Path, required=True, help="the report")
    options = parser.parse_args(arguments)
    tables = []
    for file in options.files:
        try:
            tables.append(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            sys.exit(f"error: {file}: {error}: give the JSON files of benchmarks")
        if missing := [key for key in REQUIRED if key not in tables[-1]]:
            sys.exit(f"error: {file} lacks {', '.join(missing)}: give the JSON files of benchmarks")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(report("Benchmarks of Attendant", tables), "utf-8")
    sys.stdout.write(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
