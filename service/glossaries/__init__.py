"""Glossaries that callers keep at the service."""
