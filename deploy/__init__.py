"""Files to run the service with other systems, and their checks."""
