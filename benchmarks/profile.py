"""Where a request's time goes: each step alone, and the whole request, in the same run.

The steps are called in the same way as by a request, but alone. So their code and data stay in the processor's nearest
caches. The rest of the request's time is the way from one step to the next. The same request is also measured after the
caches were filled with other data, as happens behind a server that waits for the network between two requests.

Knows the inside of wsgisession, unlike the rest of benchmarks.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.cases import CASES, Case, cookie_for, measured
from benchmarks.measure import Plan, environ_of, interleaved, spin, summary
from benchmarks.peers import SECRET, Contender, Floor, Ours
from benchmarks.samples import SMALL
from benchmarks.stores import repeat
from wsgisession import Record, SessionManager
from wsgisession.draft import Draft
from wsgisession.headers import personal
from wsgisession.middleware import _Response
from wsgisession.records import Stored
from wsgisession.session import session_of
from wsgisession.visit import new_visit

Steps = dict[str, Callable[[], object]]
CACHES = 6 * 2**20  # bytes, more than the nearer caches hold


def run(plan: Plan) -> dict[str, Any]:
    """Return by kind of request the microseconds of each step, of the whole request and of the floor's."""
    found: dict[str, Any] = {}
    whole = {case.name: case for case in CASES}
    for kind, steps in _kinds().items():
        times = interleaved({name: repeat(step) for name, step in steps.items()}, plan)
        row = measured(whole[kind], [Floor(), Ours()], plan)
        found[kind] = {
            "steps": {name: summary(values).median for name, values in times.items()},
            "request": (row["wsgisession"] or (0.0,))[0],
            "floor": (row["floor"] or (0.0,))[0],
            "cold": _cold(whole[kind], plan.rounds * 20),
        }
    return found


def _cold(case: Case, count: int) -> dict[str, float]:
    """Return microseconds over the bare application, each request after the nearer caches were filled with something else."""
    contenders: list[Contender] = [Floor(), Ours()]
    environs = {one.name: environ_of(cookie_for(case, one) or "") for one in contenders}
    apps = {one.name: one.app(case.action) for one in contenders} | {"bare": Contender().bare()}
    environs["bare"] = environs["wsgisession"]
    times: dict[str, list[float]] = {name: [] for name in apps}
    filler, cache = bytes(CACHES), bytearray(CACHES)
    for _ in range(count):
        for name, app in apps.items():
            cache[:] = filler
            times[name].append(spin(app, environs[name], 1))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {name: medians[name] - medians["bare"] for name in ("wsgisession", "floor")}


def _kinds() -> dict[str, Steps]:
    """Return the steps of each kind of request."""
    manager = SessionManager(secret=SECRET)
    records, identity = manager.records, manager.identity
    assert identity is not None
    name, token = manager.issue(SMALL).split("=")
    id = (identity.unsign(name, token) or ("",))[0]
    key = identity.key(id)
    stored = records.find(key)
    assert isinstance(stored, Stored)
    steps = _Steps(manager, f"{name}={token}", stored)
    header = f"{name}={token}"
    read: Steps = {
        "find the cookie": lambda: manager.cookie.read(header, name),
        "check its signature, as of a cookie that came lately": lambda: identity.unsign(name, token),
        "the key, SHA-256 of the id": lambda: identity.key(id),
        "look into the store": lambda: manager.store.load(key),
        "take the payload apart": lambda: manager.codec.unpack(stored.payload),
        "objects of one request": steps.objects,
        "decode one value": steps.decode,
        "response headers": steps.headers,
    }
    save: Steps = {"put the payload together": lambda: manager.codec.pack(stored.record)}
    new: Steps = {
        "a new id": identity.new_id,
        "the key, SHA-256 of the id": lambda: identity.key(id),
        "objects of one request": steps.objects,
        "encode one value": steps.encode,
        "put the payload together": steps.pack_new,
        "into the store": steps.create,
        "sign and write the cookie": steps.cookie,
        "response headers": steps.headers,
    }
    return {
        "read": read,
        "write": {**read, "encode one value": steps.encode, **save, "into the store": steps.replace},
        "new": new,
    }


def _start_response(status: str, headers: Any, exc_info: Any = None, /) -> Callable[[bytes], object]:
    raise AssertionError("no response is sent here")


class _Steps:
    """Steps that take more than one call."""

    def __init__(self, manager: SessionManager, header: str, stored: Stored) -> None:
        self.manager, self.header, self.stored = manager, header, stored
        self.codec, self.store = manager.codec, manager.store
        self.payload = stored.payload
        self.numbers: Iterator[int] = iter(range(10**9))
        self.payloads = [stored.payload, self.codec.pack(stored.record)]

    def objects(self) -> None:
        visit = new_visit(self.manager.setup, self.header, "http")
        response = _Response()
        response.visit, response.server_start = visit, _start_response
        response.sent = response.held = response.server_write = response.cookies = None
        session_of(visit)
        Draft(self.codec, Stored(self.stored.key, self.payload, self.stored.record, 7200.0).record)

    def decode(self) -> None:
        self.codec.decode(b'"ada@example.org"')

    def encode(self) -> None:
        self.codec.encode(8, "")

    def headers(self) -> None:
        personal([("Content-Type", "text/plain")], [], True)

    def replace(self) -> None:
        before, after = self.payloads
        assert self.store.replace(self.stored.key, before, after, 7200.0)
        self.payloads = [after, before]

    def create(self) -> None:
        assert self.store.create(f"{next(self.numbers):043}", self.payload, 7200.0)

    def pack_new(self) -> None:
        self.codec.pack(Record(1764018000.123456 + next(self.numbers), None, False, {"views": b"1"}))

    def cookie(self) -> None:
        setup = self.manager.setup
        name = setup.names[0][0]
        setup.cookie.render(name, setup.signer.sign(name, "i" * 43), secure=False, max_age=None)
