"""lastwords: what a Python process was trying to say when it died, or why it will not die."""

__version__ = "0.1.0"
