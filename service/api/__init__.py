"""The HTTP APIs: one module or package per dialect."""
