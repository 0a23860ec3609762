"""The live view of the page at `/`: figures and the running batches, as server-sent events."""
