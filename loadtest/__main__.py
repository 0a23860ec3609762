"""Entry point of `python -m loadtest`."""

import locust  # noqa: F401  first: its gevent patch must run before sockets and ssl are imported

from loadtest.cli import main

raise SystemExit(main())
