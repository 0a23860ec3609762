"""Imported checkpoints beside transformers: the same ids, answers and scores, and how fast they are served."""
