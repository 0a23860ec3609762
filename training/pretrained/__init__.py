"""Checkpoints in the layout of Hugging Face transformers, and pretrained encoders that a training starts from."""
