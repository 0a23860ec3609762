"""Servers to measure ours against: another engine behind FastAPI with a dynamic batcher, tuned for the machine."""
