"""Correctness, measured: generated programs, a busy target, damaged memory. `make test-deep`."""
