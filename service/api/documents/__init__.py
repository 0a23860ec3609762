"""Translation of documents in the dialects that have it."""
