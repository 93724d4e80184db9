"""`lastwords run`: start a program under gdb, read it wherever gdb stops it, and end as it ends.

start.py      forks the program, attaches gdb, makes the report at the end
supervise.py  gdb's events, one after the other
stops.py      which function stopped, and whether it says the same thing as the one before
swallowed.py  an exception that is being swallowed or printed, read from the stopped thread
crashes.py    every thread of a process that is about to die
messages.py   what the interpreter prints, in the words of each release
"""

from lastwords.watch.start import Options, run

__all__ = ["Options", "run"]
