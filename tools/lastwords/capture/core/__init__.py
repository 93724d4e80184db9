"""Core files: opened, unpacked, what they leave out filled from checked ELF files."""
