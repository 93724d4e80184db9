"""Presentation: a report as text, JSON and more. Knows the model alone; yields lines or bytes, prints nothing."""
