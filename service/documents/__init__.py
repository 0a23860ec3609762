"""Documents: file formats, their translation part by part, and the jobs that do it in the background."""
