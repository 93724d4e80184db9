"""A module whose import waits for a thread that imports the module."""
import settings_of_it  # <-
