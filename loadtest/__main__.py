"""Entry point of `python -m loadtest`."""

import locust  # noqa: F401  before all else: its gevent patch has to come before sockets and ssl are imported

from loadtest.cli import main

raise SystemExit(main())
