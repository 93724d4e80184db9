"""Tests of the images, by `make test-docker`: they build what they need, so they run only when they are asked for."""
