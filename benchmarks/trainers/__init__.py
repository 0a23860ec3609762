"""Other ways to train the same Transformer, for benchmarks/training.py."""
