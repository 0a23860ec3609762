"""Generate the tables and pictures of the documentation: `python -m docs.generator`, or `make docs`."""
