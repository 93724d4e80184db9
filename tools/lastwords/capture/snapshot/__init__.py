"""A moment as a file: an ELF core of what was read of it, and a note with what such a core cannot say."""
