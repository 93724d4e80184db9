"""Who could still wake a greenlet: the others whose code leads to what it waits for, as `may_wake` edges."""

from __future__ import annotations

from lastwords.examine.greenlet_scene import Scene
from lastwords.greenlets.reaches import Reaches
from lastwords.model import Edge, Greenlet

KINDS = ("event", "queue", "condition")
GREENLETS_LIMIT = 200  # of programs with more, somebody will


def add_wakers(scene: Scene) -> None:
    """Look from every other greenlet; a hub whose greenlets were all looked at has `searched`."""
    wanted = {
        one.address: one.id
        for one in scene.entities.report.objects
        if one.moment == scene.entities.moment.id and one.kind in (*KINDS, "async_result", "channel") and one.address
    }
    suspended = [pair for pair in scene.pairs if pair[0].state == "suspended" and not scene.is_hub(pair[1])]
    if not wanted or len(suspended) > GREENLETS_LIMIT:
        return
    reaches = Reaches(scene.interp, scene.fields, scene.classes)
    for greenlet, found in suspended:
        for address in reaches.find(scene.places(found), set(wanted)):
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
