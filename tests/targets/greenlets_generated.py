"""Programs of greenlets, one for each seed that it reads as a line; says of each program's greenlets what is true.

What a greenlet does next is drawn: go deeper, also by way of C, make another one, switch to any by hand, throw into
one, go back to its parent, end. Runs on CPython 2.7 and 3.6 to 3.15.
"""

import random
import sys

sys.argv[1:] = ["nothing"]
import greenlet  # noqa: E402
import greenlets_plain as plain  # noqa: E402 (it looks at its arguments)
from greenlets_plain import KEEP, Mine, make, tell_facts, wait_here  # noqa: E402

STEPS = 200
DEEPEST = 30


class Over(Exception):
    pass


class Program(object):
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.steps = STEPS

    def run(self):
        for _ in range(self.chance.randrange(4, 20)):
            self.begin()

    def begin(self, *_):
        kind = self.chance.choice((greenlet.greenlet, Mine))
        name = "number %d" % len(KEEP) if kind is Mine and self.chance.random() < 0.5 else None
        made = make(kind, self.body, name)
        return made.switch() if self.chance.random() < 0.9 else None

    def body(self, *_):
        try:
            while self.steps > 0 and self.chance.random() < 0.8:
                self.act(0)
            if self.chance.random() < 0.7:
                wait_here()
        except Over:
            return "thrown"

    def act(self, depth):
        self.steps -= 1
        if self.steps < 0 or depth > DEEPEST:
            return wait_here()
        return self.chance.choice(self.ACTIONS)(self, depth)

    def deeper(self, depth):
        return self.act(depth + 1)

    def through_sorted(self, depth):
        return sorted([2, 1], key=lambda number: (self.act(depth + 1), number)[1])

    def through_generator(self, depth):
        def numbers():
            yield self.act(depth + 1)

        return list(numbers())

    def make_another(self, depth):
        self.begin()
        return self.act(depth + 1)

    def switch_to_any(self, depth):
        other = self.chance.choice(KEEP)
        if not other.dead and other is not greenlet.getcurrent():
            other.switch()
        return self.act(depth + 1)

    def throw_into_any(self, depth):
        other = self.chance.choice(KEEP)
        if other and other.parent is not None and other is not greenlet.getcurrent():
            other.throw(Over)
        return self.act(depth + 1)

    def go_back(self, _):
        return wait_here() if greenlet.getcurrent().parent is not None else None

    def end(self, _):
        return "over"

    ACTIONS = (
        deeper, deeper, through_sorted, through_generator, make_another, make_another, switch_to_any, throw_into_any,
        go_back, go_back, end,
    )  # fmt: skip


def main():
    plain.know_thread()
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        del KEEP[1:]
        Program(int(line)).run()
        tell_facts()


main()
