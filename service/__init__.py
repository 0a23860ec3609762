"""Artifact to answers: the HTTP service. Nothing here imports torch."""
