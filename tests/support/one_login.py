"""One login per user, as the docs' recipe has it, on two devices whose calls of the store follow a plan."""

from __future__ import annotations

from typing import Any

from support.schedules import Turns
from support.store_double import StoreDouble
from support.visitor import Visitor
from support.web import Site

from wsgisession import Session


def only_here(session: Session) -> int:
    """Log in here and out everywhere else."""
    session.owner = "ada"
    session.save()
    return session.destroy_siblings()


def one_login_per_user(before: dict[str, Any] | None, plan: tuple[int, ...]) -> None:
    """Log the same user in on both; exactly one of the two is left, and it is a visitor's.

    Args:
        before: what each device's session holds. None: it has none.
    """
    store = StoreDouble()
    site = Site(store)
    site.manager.records.sleep = lambda seconds: None
    devices = [Visitor(site), Visitor(site)]
    if before is not None:
        for device in devices:
            device.visit(lambda session: session.update(before))
    first, second = devices
    Turns(store, plan).run(lambda: first.visit(only_here), lambda: second.visit(only_here))
    store.rest()
    owners = [device.visit(lambda session: session.owner) for device in devices]
    assert sorted(owners, key=str) == [None, "ada"], plan
    assert len(site.manager.owned_by("ada")) == 1, plan
