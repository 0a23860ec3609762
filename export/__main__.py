"""Command lines of the export: `python -m export RUN [ARTIFACT]` and `python -m export from-hf CHECKPOINT ARTIFACT`."""

import sys


def main() -> int:
    try:
        from export import commands  # takes seconds, for it imports torch

        return commands.main()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; nothing was published\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
