# Stop where CPython swallows an exception, where a program ends by one, and where the interpreter gives up.
#
#   gdb -x gdb_scripts/unraisable.gdb --args python x.py
#
# prints the C stack and what it can of the exception each time, and lets the program go on. `lastwords run`
# sources the same file, takes over its breakpoints (session.py), and reads the Python side by itself.
# Works without gdb's Python; with it, and with debug symbols of CPython, the exception is shown too.

set pagination off
set confirm off
set breakpoint pending on
handle SIGINT nostop noprint pass
handle SIGPIPE nostop noprint pass

define lw-exception
  echo (type and value: needs gdb with Python and debug symbols of CPython)\n
end

define lw-unraisable
  echo \n== lastwords: an exception is being swallowed; C stack:\n
  backtrace -frame-arguments scalars 40
  lw-exception
  echo == lastwords: the program goes on\n
end

define lw-printed
  echo \n== lastwords: an exception is being printed; C stack:\n
  backtrace -frame-arguments scalars 40
  lw-exception
  echo == lastwords: the program goes on\n
end

define lw-fatal
  echo \n== lastwords: fatal error; C stack of each thread:\n
  thread apply all backtrace -frame-arguments scalars 40
  lw-exception
end

# The funnels of "Exception ignored in ...". Up to 3.7 there is only the first; from 3.8 to 3.12 it is a jump to
# the second (so it is counted there, by its stack pointer); from 3.13 the first and the third are separate
# (Python/errors.c; gh-108082 brought the third).
set $lw_thunk = 0

break PyErr_WriteUnraisable
commands
  silent
  set $lw_thunk = $sp
  lw-unraisable
  continue
end

break _PyErr_WriteUnraisableMsg
commands
  silent
  if $lw_thunk != $sp
    lw-unraisable
  end
  set $lw_thunk = 0
  continue
end

break PyErr_FormatUnraisable
commands
  silent
  lw-unraisable
  continue
end

# Uncaught in the main program, and what old versions print by themselves: threads' start (up to 3.7), ctypes
# callbacks (up to 3.7), atexit (up to 3.9), failing hooks (Python/pythonrun.c). Where the compiler has made direct
# calls of them, PyErr_PrintEx is passed by and _PyErr_PrintEx or PyErr_Display is what is seen.
set $lw_print_thunk = 0

break PyErr_PrintEx
commands
  silent
  set $lw_print_thunk = $sp
  lw-printed
  continue
end

break _PyErr_PrintEx
commands
  silent
  if $lw_print_thunk != $sp
    lw-printed
  end
  set $lw_print_thunk = 0
  continue
end

break PyErr_DisplayException
commands
  silent
  lw-printed
  continue
end

break PyErr_Display
commands
  silent
  lw-printed
  continue
end

break _PyErr_Display
commands
  silent
  lw-printed
  continue
end

# The interpreter gives up (Python/pylifecycle.c). abort() follows.
break Py_FatalError
commands
  silent
  lw-fatal
  continue
end

break _Py_FatalErrorFunc
commands
  silent
  lw-fatal
  continue
end

break _Py_FatalErrorFormat
commands
  silent
  lw-fatal
  continue
end

# Last, because a gdb without Python stops reading here: everything above works without it.
python
import os
import gdb

if not os.environ.get("LASTWORDS_SESSION"):
    given = open("/proc/self/cmdline", errors="replace").read().split("\0")
    here = [os.path.dirname(os.path.abspath(word)) for word in given if word.endswith("unraisable.gdb")]
    if here:
        gdb.execute("source " + os.path.join(here[0], "exception.py"))
    if gdb.current_progspace().filename and not gdb.selected_inferior().pid:
        gdb.execute("run")
end
