"""Measurements of operation: alerts, restarts and scaling, with the real Prometheus, nginx and balancer."""
