"""Import of checkpoints in the layout of Hugging Face transformers."""
