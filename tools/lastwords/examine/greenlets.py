"""The report's greenlets and hubs: found before the process is stopped, read in the moment."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lastwords.capture.memory import ReadError
from lastwords.cpython.finalize import read_step
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.types import Kind, read_kind, type_name
from lastwords.examine.entities import Entities, tolerated
from lastwords.examine.greenlet_scene import Scene
from lastwords.examine.greenlet_search import choose, touch
from lastwords.examine.greenlet_waits import add_greenlet_relations
from lastwords.greenlets.all import Census, read_all
from lastwords.greenlets.gevent import Gevent, read_loop, read_name, read_own, read_run, read_spawned_at
from lastwords.greenlets.greenlet import GreenletState, State, find_main, read_frames
from lastwords.greenlets.module import Module, find_module
from lastwords.greenlets.search import Found
from lastwords.greenlets.stacks import Stacks
from lastwords.greenlets.threads import Owners, find_owners
from lastwords.model import Greenlet, Hub

if TYPE_CHECKING:  # it calls us
    from lastwords.examine.read import Options, Source

MEGABYTE = 1 << 20


def add_greenlets(entities: Entities, source: Source, options: Options, threads: Sequence[PythonThread]) -> None:
    """Add the moment's greenlets and hubs to the report; what cannot be read is in `moment.capture.problems`."""
    if source.greenlets is None:
        return
    with tolerated(entities.moment, "greenlets"):
        module = find_module(source.interp, source.greenlets.find_image)
        if module is None:
            return
        _say_problems(entities, source.greenlets.found)
        census = read_all(module, source.greenlets.found.addresses)
        owners = find_owners(module, census.known, threads, source.captured.maps)
        gevent = Gevent(source.interp)
        reader = _Reader(entities, module, gevent, _complete(module, census, owners), owners, options.locals)
        pairs = reader.add_all()
        scene = Scene(entities, source, gevent, module)
        scene.pairs, scene.threads = pairs, threads
        add_greenlet_relations(scene)
        _tell_step(scene)
        if options.native:
            source.greenlets.wanted = choose(module, pairs, each=options.native_each)
            touch(source.greenlets.wanted, source.captured.memory)


def _tell_step(scene: Scene) -> None:
    """What the main thread does on its way out, where it runs another greenlet meanwhile than the one that does it."""
    shutdown, mains = scene.entities.moment.shutdown, {one.id for one in scene.entities.threads() if one.is_main}
    for greenlet, found in scene.pairs:
        is_apart = greenlet.is_main and greenlet.thread in mains and greenlet.state == "suspended"
        if shutdown is not None and shutdown.phase == "shutdown" and is_apart:
            with tolerated(scene.entities.moment, "the step of the shutdown"):
                shutdown.step = read_step(scene.interp, scene.places(found))


def _complete(module: Module, census: Census, owners: Owners) -> Census:
    """With the main and running greenlets of threads, which may be younger than the search."""
    missing = [one for one in (*owners.threads, *owners.current.values()) if one not in census.known]
    if not missing:
        return census
    return Census({**census.known, **read_all(module, (), missing).known}, census.gone)


def _say_problems(entities: Entities, found: Found) -> None:
    capture = entities.moment.capture
    said = [*found.problems]
    for size, why in ((found.swapped, "is swapped out"), (found.left, "is beyond the limit")):
        if size:
            said.append(f"{size / MEGABYTE:.1f} MB of its memory {why} and was not searched for greenlets")
    capture.problems += said
    capture.complete = capture.complete and not said


@dataclass
class _Reader:
    """Makes the entities of one moment's greenlets."""

    entities: Entities
    module: Module
    gevent: Gevent
    census: Census
    owners: Owners
    with_locals: bool

    def __post_init__(self) -> None:
        self.known, self.interp = self.census.known, self.module.interp
        self.stacks = Stacks(self.interp)
        self.types: dict[int, str] = {}
        self.places = {main: number for number, main in enumerate(self.owners.threads)}
        self.mains = {address: find_main(self.known, found) for address, found in self.known.items()}

    def add_all(self) -> list[tuple[Greenlet, GreenletState]]:
        """By thread; the main greenlet of each first, then its hub, then the others by address."""
        found = sorted(self.known.values(), key=self._order)
        made = [(one, self._make(one)) for one in found]
        self.entities.report.greenlets += [greenlet for _, greenlet in made]
        for one, greenlet in made:
            self._add_hub(one, greenlet)
            self._link_thread(greenlet)
        return [(greenlet, one) for one, greenlet in made]

    def _order(self, found: GreenletState) -> tuple[int, bool, bool, int]:
        place = self.places.get(self.mains[found.address], len(self.places))
        return place, not found.is_main, not self._is_hub(found), found.address

    def _is_hub(self, found: GreenletState) -> bool:
        try:
            return self.gevent.is_hub(self._kind(found))
        except ReadError:
            return False

    def _id(self, address: int) -> str:
        return f"{self.entities.moment.id}-greenlet-{address:x}"

    def _thread(self, found: GreenletState) -> PythonThread | None:
        return self.owners.threads.get(self.mains[found.address])

    def _make(self, found: GreenletState) -> Greenlet:
        thread = self._thread(found)
        greenlet = Greenlet(
            id=self._id(found.address),
            moment=self.entities.moment.id,
            address=found.address,
            is_main=found.is_main,
            thread=self.entities.state_id(thread) if thread else None,
            state=self._state(found),
            parent=self._id(found.parent) if found.parent in self.known else None,
        )
        try:
            self._describe(greenlet, found)
        except ReadError as error:
            greenlet.error = str(error)
        self._add_stack(greenlet, found, thread)
        return greenlet

    def _state(self, found: GreenletState) -> State | None:
        """What runs in a thread is told by the thread; a greenlet's own fields do not tell one that has no frames.

        What was running in a thread that has ended never goes on. None: it runs, or its thread has ended.
        """
        main = self.mains[found.address]
        if found.state in ("unstarted", "dead"):
            return found.state
        current = self.owners.current.get(main)
        is_running = current == found.address if current else found.state == "running" and not found.stack.saved
        if is_running and main not in self.owners.threads:
            return "suspended" if self.owners.are_all else None
        return "running" if is_running else "suspended"

    def _kind(self, found: GreenletState) -> Kind:
        return read_kind(self.interp, found.kind)

    def _describe(self, greenlet: Greenlet, found: GreenletState) -> None:
        if found.kind not in self.types:
            self.types[found.kind] = type_name(self.interp, self._kind(found))
        greenlet.type = self.types[found.kind]
        own = read_own(self.gevent, found)
        greenlet.name = read_name(self.gevent, found, own)
        greenlet.run = read_run(self.gevent, found, own)
        greenlet.spawned_at = read_spawned_at(self.gevent, found)

    def _add_stack(self, greenlet: Greenlet, found: GreenletState, thread: PythonThread | None) -> None:
        if greenlet.state == "suspended":
            walked = read_frames(self.module, found)
            read = self.stacks.read_walked(walked, with_locals=self.with_locals)
        else:
            places = thread.places if greenlet.state == "running" and thread is not None else ()
            read = self.stacks.read(places, with_locals=self.with_locals)
        greenlet.stack, error = read
        greenlet.error = greenlet.error or error

    def _add_hub(self, found: GreenletState, greenlet: Greenlet) -> None:
        if self._is_hub(found):
            hub = Hub(id=f"{greenlet.id}-hub", moment=greenlet.moment, thread=greenlet.thread, greenlet=greenlet.id)
            self.entities.report.hubs.append(hub)
            with suppress(ReadError):
                hub.loop = read_loop(self.gevent, found.address)

    def _link_thread(self, greenlet: Greenlet) -> None:
        if greenlet.state == "running":
            for thread in self.entities.threads():
                if thread.id == greenlet.thread:
                    thread.greenlet = greenlet.id
