"""Measurements that anyone can repeat, one table a script."""
