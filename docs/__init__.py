"""The documentation, and the package that generates its tables and pictures (`make docs`)."""
