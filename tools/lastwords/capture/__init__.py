"""One moment of a process: its memory, registers and maps, and the means of getting there."""
