"""Traffic to report: drives a running service over HTTP and checks every answer. It knows HTTP only."""
