"""A live process held still for milliseconds, and the copy of its pages that is read afterwards."""
