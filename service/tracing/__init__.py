"""Traces of requests: what the service tells them, and OpenTelemetry, which makes them."""
