"""Programs of greenlets, one for each seed that it is given; says of all their greenlets what is true.

Every other one is of gevent's, where that is there. Where a program forks, the child goes on: the one to look at is
that whose pid is in the facts. Runs on CPython 2.7 and 3.6 to 3.15.
"""

import os
import sys

import greenlet
import greenlets_plain as plain
from greenlets_plain import make, tell_facts
from greenlets_program import Program

try:
    import gevent
except ImportError:
    gevent = None
else:
    from greenlets_gevent import GeventProgram, tell_in_hub


def tell_and_wait():
    tell_facts()
    os.read(0, 1)


def tell_in_greenlet():
    make(greenlet.greenlet, tell_and_wait).switch()


def main(seeds):
    plain.know_thread()
    kinds = [Program, GeventProgram] if gevent else [Program]
    ways = [tell_and_wait, tell_in_greenlet, tell_in_hub] if gevent else [tell_and_wait, tell_in_greenlet]
    for seed in seeds:
        kinds[seed % len(kinds)](seed).run()
    ways[seeds[0] % len(ways)]()


main([int(word) for word in sys.argv[1:]])
