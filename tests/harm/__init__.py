"""What lastwords and its peers do to a process that they look at: measured at length by `make harm`."""
