"""Waits for the end of a child."""
import subprocess

subprocess.call(["sleep", "1000"])  # <-
