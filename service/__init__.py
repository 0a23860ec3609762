"""The HTTP service that serves artifacts. It does not import torch."""

__version__ = "0.1.0"  # of the whole project; pyproject.toml reads it from here
