"""The served models: loading, lookup, and submission of requests to their worker pools."""
