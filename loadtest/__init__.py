"""Load test: sends requests to a running service over HTTP, checks every answer, and writes a report."""
