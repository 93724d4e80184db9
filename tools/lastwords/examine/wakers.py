"""Who could still wake a greenlet: the others whose code, or end, leads to what it waits for, as `may_wake` edges."""

from __future__ import annotations

from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.examine.greenlet_scene import Scene
from lastwords.greenlets.greenlet import GreenletState
from lastwords.greenlets.reaches import Reaches
from lastwords.greenlets.waits_links import read_links, read_own_words
from lastwords.model import Edge, Greenlet

WAITERS = ("waiter", "greenlet")
GREENLETS_LIMIT = 200  # of programs with more, somebody will


def add_wakers(scene: Scene) -> None:
    """Look from every other greenlet; a hub whose greenlets were all looked at has `searched`."""
    waited = {greenlet.waits_for.target for greenlet, _ in scene.pairs if greenlet.waits_for}
    wanted = {one.address: one.id for one in scene.entities.report.objects if one.id in waited and one.address}
    suspended = [pair for pair in scene.pairs if pair[0].state == "suspended" and not scene.is_hub(pair[1])]
    is_whole = scene.source.greenlets is None or scene.source.greenlets.is_whole
    if not wanted or len(suspended) > GREENLETS_LIMIT or not is_whole:
        return
    reaches = Reaches(scene.interp, scene.fields, scene.classes)
    for greenlet, found in suspended:
        for address in reaches.find(scene.places(found), set(wanted), _read_end(scene, found)):
            if not _waits_for(greenlet, wanted[address]):
                evidence = "its variables, or what its code names, lead to it"
                edge = Edge(
                    origin=greenlet.id, to=wanted[address], kind="may_wake", certainty="possible", evidence=evidence
                )
                scene.entities.add_edge(edge)
    for hub in scene.entities.report.hubs:
        hub.searched = reaches.is_complete and not scene.problems


def _waits_for(greenlet: Greenlet, identity: str) -> bool:
    return greenlet.waits_for is not None and greenlet.waits_for.target == identity


def _read_end(scene: Scene, found: GreenletState) -> list[int]:
    """What gevent calls at its end (`link`), but for those that only wait for that. Raises nothing."""
    called: list[int] = []
    with suppress(ReadError):
        for link in read_links(scene.fields, found.address) if scene.classes.get(found.kind) == "greenlet" else []:
            to = read_bound(scene.interp, link)
            kind = scene.classes.get(scene.interp.number(to, "PyObject", "ob_type")) if to else None
            if to not in scene.ids and kind not in WAITERS:
                called += [link, *read_own_words(scene.fields, link)]  # a SpawnedLink's `callback` may have no name
    return called
