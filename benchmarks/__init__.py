"""Repeatable measurements: each script prints one table and can write its results as JSON."""
