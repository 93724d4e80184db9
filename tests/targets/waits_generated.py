"""One program for each seed: who waits for whom is drawn, and said, before it comes to that.

    waits_generated.py SEED threads|greenlets|mixed|tasks

Says `facts {...}`, and then each thread, greenlet or task goes to its wait, for ever. The facts: the `codes` that are
true of it, the first one first; whether that is `certain` (null: either will do); the `lines` of `file` at which those
stand whom the first is about, and no others but those `near`; whether it is to be called `healthy`; whether it ever
comes to `rest`. Runs on CPython 2.7 and 3.6 to 3.15.
"""

import json
import os
import random
import sys
import threading
import time

LONG = 5000
WORDS = "load save evict merge flush close index sweep route parse order count".split()
LOCKS = {
    "threads": [
        "threading.Lock()",
        "threading.RLock()",
        "threading.Condition()",
        "threading.Condition(threading.Lock())",
    ],
    "greenlets": ["gevent.lock.BoundedSemaphore(1)", "gevent.lock.RLock()", "gevent.lock.Semaphore(1)"],
    "mixed": ["threading.Lock()"],
    "tasks": ["asyncio.Lock()"],
}  # fmt: skip
TELLS = {  # what somebody would have to do, and how one waits for that
    "threads": [
        ("threading.Event()", "{0}.wait()"),
        ("queue.Queue()", "{0}.get()"),
        ("queue.LifoQueue()", "{0}.get()"),
    ],
    "greenlets": [
        ("gevent.event.Event()", "{0}.wait()"),
        ("gevent.event.AsyncResult()", "{0}.get()"),
        ("gevent.queue.Queue()", "{0}.get()"),
    ],
}
ENDS = {
    "threads": [
        ("sleep", "None", "time.sleep(%d)" % LONG),
        ("io", "os.pipe()", "os.read({0}[0], 1)"),
        ("io", "socket.socketpair()", "{0}[0].recv(1)"),
    ],
    "greenlets": [("sleep", "None", "gevent.sleep(%d)" % LONG)],
    "tasks": [("sleep", "None", "await asyncio.sleep(%d)" % LONG)],
}


class Actor(object):
    """Who takes `holds`, one inside the other, and then does `last`; after all others, if `late`.

    native: a thread, beside greenlets
    """

    def __init__(self, name, last="", native=False):
        self.name = name
        self.holds = []
        self.last = last
        self.native = native
        self.late = False
        self.line = None


class Program(object):
    """The actors, the first of them the main one; how things are made; and what is true of all that."""

    def __init__(self, seed, kind):
        self.seed, self.kind = seed, kind
        self.random = random.Random("%s %d" % (kind, seed))
        self.actors = [Actor("main")]
        self.made = {}
        self.codes, self.certain, self.about, self.rest, self.healthy = [], None, [], True, False
        self.near = []
        self.ends_holding = []  # things that somebody takes who has ended

    @property
    def main(self):
        return self.actors[0]

    def actor(self, last=""):
        one = Actor("%s_%d" % (self.random.choice(WORDS), len(self.actors)), last)
        self.actors.append(one)
        return one

    def main_or_actor(self):
        return self.main if self.random.random() < 0.3 else self.actor()

    def make(self, how, prefix="thing"):
        name = "%s_%d" % (prefix, len(self.made))
        self.made[name] = how
        return name

    def make_lock(self):
        return self.make(self.random.choice(LOCKS[self.kind]), "lock")

    def take(self, lock):
        """How one waits for a lock."""
        if self.kind == "tasks":
            return "await %s.acquire()" % lock
        return self.random.choice(["%s.acquire()" % lock, "with %s: pass" % lock])

    def follow(self, waiter, other, joins=True):
        """The one waits for the other: for its end, or for a lock. Whether it is for a lock."""
        can_end = self.kind != "greenlets" or other is not self.main  # nobody joins a main greenlet
        if joins and can_end and self.random.random() < 0.3:
            waiter.last = ("await actors[%r]" if self.kind == "tasks" else "actors[%r].join()") % other.name
            return False
        if not other.holds or self.random.random() < 0.7:
            other.holds.append(self.make_lock())
        waiter.last = self.take(self.random.choice(other.holds))
        return True

    def follow_behind(self, others):
        """Some more, and the main one if it has nothing to do yet, wait for one of these."""
        for _ in range(self.random.randrange(3)):
            self.follow(self.actor(), self.random.choice(others))
        if not self.main.last:
            self.follow(self.main, self.random.choice(others))

    def draw_cycle(self):
        """Each waits for the next."""
        members = [self.main_or_actor()] + [self.actor() for _ in range(self.random.randint(1, 5))]
        for one, other in zip(members, members[1:] + members[:1]):
            self.follow(one, other)
        self.follow_behind(members)
        self.codes, self.about = ["await-cycle" if self.kind == "tasks" else "lock-cycle"], members
        self.certain = True if self.kind == "threads" else None

    def draw_own(self):
        """One that waits for what it has itself."""
        one = self.main_or_actor()
        one.holds.append(self.make(LOCKS[self.kind][0], "lock"))
        one.last = self.take(one.holds[0])
        self.follow_behind([one])
        self.codes, self.about = ["await-cycle" if self.kind == "tasks" else "lock-cycle"], [one]

    def draw_chain(self):
        """The main one waits for the next, and so on; the last waits for a time, or for a byte."""
        what, how, last = self.random.choice(ENDS[self.kind])
        end = self.actor(last.format(self.make(how)))
        chain = [self.main] + [self.actor() for _ in range(self.random.randrange(4))] + [end]
        locks = [self.follow(one, other) for one, other in zip(chain, chain[1:])]
        if any(locks) and self.kind != "tasks":
            self.codes, self.about, self.near = ["waits-on-holder"], [self.main, end], chain
            self.certain = True if self.kind == "threads" else None

    def draw_orphan(self):
        """What they wait for was taken by somebody who has ended."""
        lock = self.make(self.random.choice(["threading.Lock()", "threading.RLock()"]), "lock")
        self.ends_holding.append(lock)
        first = self.main_or_actor()
        first.last = self.take(lock)
        self.follow_behind([first])
        self.codes, self.certain = ["orphaned-lock"], "RLock" in self.made[lock]

    def draw_stranded(self):
        """Each waits for something that nobody is left to do."""
        for one in [self.main] + [self.actor() for _ in range(self.random.randrange(4))]:
            how, last = self.random.choice(TELLS[self.kind])
            one.last = last.format(self.make(how))
        self.codes, self.about = ["%s-stranded" % self.kind[:-1]], list(self.actors)
        self.certain = self.kind == "threads"

    def draw_idle(self):
        """Workers that wait for work, and a main one that will have some, later."""
        how = {"threads": "queue.Queue()", "greenlets": "gevent.queue.Queue()"}[self.kind]
        work = self.make(how)
        sleep = {"threads": "time.sleep", "greenlets": "gevent.sleep"}[self.kind]
        for _ in range(self.random.randint(1, 5)):
            self.actor("%s.get()" % work)
        self.main.last = "%s(%d); %s.put(1)" % (sleep, LONG, work)
        self.healthy = True

    def draw_timed(self):
        """Waits that a time ends: a timer that sets, a timeout."""
        how, wait = self.random.choice(TELLS[self.kind][:1])
        event = self.make(how)
        self.main.last = wait.format(event)
        if self.kind == "threads":
            self.actor("threading.Timer(%d, %s.set).run()" % (LONG, event))
        else:
            self.actor("gevent.sleep(%d); %s.set()" % (LONG, event))
        self.actor("%s.wait(%d)" % (event, LONG))

    def draw_moment(self):
        """Locks in a circle, each given back after a moment."""
        first, second = self.make_lock(), self.make_lock()
        sleep = {"threads": "time.sleep", "greenlets": "gevent.sleep"}[self.kind]
        for one, lock in ((self.actor(), first), (self.actor(), second)):
            one.last = "for _ in iter(int, 1):\n    with %s: %s(0.01)\n    %s(0.01)" % (lock, sleep, sleep)
        self.main.last = "%s(%d)" % (sleep, LONG)
        self.rest, self.healthy = False, True

    def draw_mixed(self):
        """A greenlet stops its thread for a lock of a thread, which waits, through others, for that of a greenlet."""
        blocked, away = self.actor(), self.actor("gevent.sleep(%d)" % LONG)
        blocked.late = True
        natives = [self.actor() for _ in range(self.random.randint(1, 4))]
        for one in natives:
            one.native = True
        self.follow(blocked, natives[0], joins=False)
        for one, other in zip(natives, natives[1:] + [away]):
            self.follow(one, other, joins=other.native)
        self.main.last = "actors[%r].join()" % blocked.name
        self.codes, self.about = ["lock-cycle"], [blocked, away] + natives

    def draw(self):
        """What it is to be."""
        draws = {
            "threads": "cycle cycle cycle own chain chain orphan stranded idle timed moment",
            "greenlets": "cycle cycle cycle own chain stranded idle timed moment",
            "mixed": "mixed",
            "tasks": "cycle cycle chain",
        }
        self.shape = self.random.choice(draws[self.kind].split())
        getattr(self, "draw_" + self.shape)()

    # As text.

    def render(self):
        lines = [""] * self.random.randrange(300)
        for name, how in self.made.items():
            lines.append("%s = %s" % (name, how))
        for actor in self.actors:
            self.render_actor(actor, lines)
        return "\n".join(lines) + "\n"

    def render_actor(self, actor, lines):
        """A function for each lock that it takes, and some between them."""
        is_task = self.kind == "tasks"
        call_arrive = "arrive(True)" if actor.late else "arrive()"
        steps = ["with %s:" % lock for lock in actor.holds]
        for _ in range(self.random.randrange(4)):
            steps.insert(self.random.randrange(len(steps) + 1), "if True:")
        define, call = ("async def", "await ") if is_task else ("def", "")
        for number, step in enumerate(steps):
            following = "%s%s_%d()" % (call, actor.name, number + 1)
            step = "async " + step if is_task and step.startswith("with") else step
            arrive = ["        %s%s" % (call, call_arrive)] if number + 1 == len(steps) else []
            lines += (
                ["%s %s_%d():" % (define, actor.name, number), "    " + step] + arrive + ["        " + following, ""]
            )
        lines += ["%s %s_%d():" % (define, actor.name, len(steps))] + (
            [] if steps else ["    %s%s" % (call, call_arrive)]
        )
        actor.line = len(lines) + 1
        lines += ["    " + line for line in actor.last.split("\n")] + [""]


class Run(object):
    """Starts the actors, each of which says when it has taken what it is to have; tells; and lets them go on."""

    def __init__(self, program):
        self.program = program
        self.arrived = []
        self.gone = []
        self.told = False
        self.actors = {}
        self.space = {"actors": self.actors, "arrive": self.arrive, "threading": threading, "time": time, "os": os}
        self.space["__name__"] = "__main__"
        for name in ("queue", "Queue", "socket", "asyncio"):
            try:
                self.space[name.lower()] = __import__(name)
            except ImportError:
                continue
        self.pause = time.sleep

    def arrive(self, is_late=False):
        if threading.current_thread() is main_thread and self.is_main():
            while len(self.arrived) < len(self.program.actors) - 1:
                self.pause(0.001)
            self.leave_locks()
            self.tell()
            return
        self.arrived.append(1)
        pause = self.pause if threading.current_thread() is main_thread else time.sleep
        while not self.told or (is_late and len(self.gone) < len(self.program.actors) - 2):
            pause(0.001)
        self.gone.append(1)

    def is_main(self):
        return True

    def leave_locks(self):
        for name in self.program.ends_holding:
            holder = threading.Thread(target=self.space[name].acquire)
            holder.start()
            holder.join()

    def tell(self):
        program = self.program
        facts = {
            "shape": program.shape, "codes": program.codes, "certain": program.certain, "rest": program.rest,
            "healthy": program.healthy,
            "lines": [one.line for one in program.about], "near": [one.line for one in program.near],
            "file": self.file, "threads": threading.active_count(),
        }  # fmt: skip
        sys.stdout.write("facts " + json.dumps(facts) + "\n")
        sys.stdout.flush()
        self.told = True

    def run(self):
        self.file = "waits_%s_%d.py" % (self.program.kind, self.program.seed)
        exec(compile(self.program.render(), self.file, "exec"), self.space)
        for actor in self.program.actors[1:]:
            self.actors[actor.name] = self.start(actor)
        self.actors["main"] = main_thread
        self.space["main_0"]()

    def start(self, actor):
        thread = threading.Thread(target=self.space[actor.name + "_0"], name=actor.name)
        thread.start()
        return thread


class GreenletRun(Run):
    """Greenlets, and threads beside them."""

    def __init__(self, program):
        Run.__init__(self, program)
        import gevent.event
        import gevent.lock
        import gevent.queue

        self.gevent = self.space["gevent"] = gevent
        self.pause = gevent.sleep
        self.first = gevent.getcurrent()
        self.keeper = gevent.spawn(gevent.sleep, LONG)  # so that the hub has something to wait for

    def is_main(self):
        return self.gevent.getcurrent() is self.first

    def start(self, actor):
        return Run.start(self, actor) if actor.native else self.gevent.spawn(self.space[actor.name + "_0"])


class TaskRun(Run):
    """Tasks of one loop, one of which is the main one."""

    def run(self):
        self.file = "waits_%s_%d.py" % (self.program.kind, self.program.seed)
        import asyncio

        self.asyncio = asyncio
        self.space["arrive"] = self.arrive_in_turn
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self.start_all(loop))


main_thread = threading.current_thread()
TASKS = """
async def arrive_in_turn():
    run.arrived.append(1)
    if len(run.arrived) == len(run.program.actors):
        run.tell()
    while not run.told:
        await run.asyncio.sleep(0.001)

async def start_all(loop):
    exec(compile(run.program.render(), run.file, "exec"), run.space)
    for actor in run.program.actors:
        run.actors[actor.name] = loop.create_task(run.space[actor.name + "_0"]())
    await run.asyncio.wait(list(run.actors.values()))
"""


def main(seed, kind):
    program = Program(seed, kind)
    program.draw()
    run = {"threads": Run, "tasks": TaskRun}.get(kind, GreenletRun)(program)
    if kind == "tasks":
        space = {"run": run}
        exec(compile(TASKS, "tasks", "exec"), space)
        run.arrive_in_turn, run.start_all = space["arrive_in_turn"], space["start_all"]
    run.run()


main(int(sys.argv[1]), sys.argv[2])
