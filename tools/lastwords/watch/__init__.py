"""`lastwords run`: start a program under gdb, read it wherever gdb stops it, and end as it ends.

start.py      forks the program, starts gdb, makes the report at the end
follow.py     the program from its release to its end: watched, let go when it hangs, watched again
hang.py       when it hangs; hung.py: what hangs is read, and ended where that is wanted
supervise.py  gdb's events, one after the other
stops.py      which function stopped, and whether it says the same thing as the one before
swallowed.py  an exception that is being swallowed or printed, read from the stopped thread
crashes.py    every thread of a process that is about to die
messages.py   what the interpreter prints, in the words of each release
"""

from lastwords.watch.options import Hung, Limits, Options
from lastwords.watch.start import run

__all__ = ["Hung", "Limits", "Options", "run"]
