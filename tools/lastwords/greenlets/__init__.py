"""Reading greenlets and gevent from outside: every greenlet of a process, suspended ones too. No code runs in it."""
