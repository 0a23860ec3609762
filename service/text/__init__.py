"""Text to segments and ids, and back."""
