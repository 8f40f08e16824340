"""Overlapping requests in every order: a sample of the orders, each rule that must not be missing, and the explorer itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.docs import ROOT
from support.explorer.crew import Call, Choice, Crew
from support.explorer.kinds import KINDS
from support.explorer.mutations import MUTATIONS, Mutation
from support.explorer.plan import Meeting, close_worlds, meetings, sampled, walk
from support.explorer.report import group, orders, rules
from support.explorer.story import STARTS, Story
from support.explorer.tree import Tree
from support.explorer.world import World, still

GROUPS = list(dict.fromkeys(map(group, meetings())))


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    """None stays behind."""
    yield
    close_worlds()


@pytest.mark.parametrize("name", GROUPS)
def test_a_sample_of_all_orders(name: str) -> None:
    """Of every meeting of requests, a few orders, with a fault or without, keep every promise."""
    anomalies = [
        anomaly
        for meeting in meetings()
        if group(meeting) == name
        for anomaly in walk(meeting, sampled(1)).anomalies
    ]
    assert anomalies == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_rule_that_is_missing_is_noticed(mutation: Mutation) -> None:
    """The package without one of its rules breaks a promise in some order. (With it in none: see the wide tests.)"""
    with mutation.at_work():
        [anomaly, *_] = walk(mutation.meeting, enough=1).anomalies
    assert " raised " not in anomaly


# The explorer itself


def steps(crew: Crew, calls: list[Call], seen: list[Call]) -> Callable[[], None]:
    """Return a function that makes some calls, and writes each down."""

    def work() -> None:
        for call in calls:
            crew.step(call)
            seen.append(call)

    return work


def walked(works: list[list[Call]], *, faults: bool = False) -> list[str]:
    """Walk every order of some lists of calls; return what was done, in each."""
    crew, tree = Crew(len(works)), Tree(faults=faults)
    found: list[str] = []
    for path in tree.paths():
        seen: list[Call] = []
        crew.run([steps(crew, calls, seen) for calls in works], tree.choose)
        assert seen == path.calls
        found.append(str(path))
    crew.close()
    return found


def test_every_order_is_walked_once() -> None:
    """Two calls and three can follow each other in ten ways."""
    found = walked([[Call("replace", "k")] * 2, [Call("load", "k")] * 3])
    assert len(found) == len(set(found)) == 10


def test_every_call_fails_once() -> None:
    """Three calls in their only order: none fails; or one is not carried out; or the reply of one that writes is lost."""
    assert walked([[Call("load", "k"), Call("clock"), Call("replace", "k")]], faults=True) == [
        "a.load a.clock a.replace",
        "a.load a.clock a.replace(down)",
        "a.load a.clock a.replace(lost)",
        "a.load(down) a.clock a.replace",
    ]


def outcome(story: Story) -> str:
    """Say what the visitor and the next requests can tell of a run."""
    actors = [
        (actor.sets is None, actor.expires, actor.end_gone, actor.end_owner, repr(actor.error))
        for actor in story.actors
    ]
    live = sorted(
        (repr(live.record.owner), repr(live.data), round(live.left)) for live in story.finally_live.values()
    )
    return repr((actors, live))


@pytest.mark.parametrize(
    ("kinds", "faults"),
    [
        pytest.param(("login", "login"), True, marks=pytest.mark.wide),
        (("append", "write"), True),
        (("destroy", "regenerate"), True),
        (("destroy, write", "regenerate"), False),
        (("login", "append, save, append"), False),
        (("login", "login", "a minute"), False),
        pytest.param(("append", "append", "append"), False, marks=pytest.mark.wide),
    ],
    ids=str,
)
def test_leaving_twins_out_hides_nothing(kinds: tuple[str, ...], faults: bool) -> None:
    """What can come out of a meeting is the same, whether twins are walked or not."""
    found = []
    with still():
        world = World(STARTS[0])
        for twins in (True, False):
            tree = Tree(faults=faults, twins=twins)
            found.append(
                {outcome(world.run([KINDS[kind] for kind in kinds], tree.choose)) for _ in tree.paths()}
            )
    world.crew.close()
    assert found[0] == found[1]
    assert len(found[0]) > 1


def test_an_order_can_be_repeated() -> None:
    """The same choices lead to the same story."""
    meeting = Meeting(0, ("login", "regenerate"))
    assert walk(meeting) == walk(meeting)


def test_what_goes_wrong_in_a_turn_is_raised() -> None:
    """An error of the explorer itself is no order that went well, and nobody waits for ever."""
    crew = Crew(2)

    def refuse(waiting: dict[int, Call]) -> Choice:
        raise ValueError("no choice")

    with pytest.raises(ValueError, match="no choice"):
        crew.run([steps(crew, [Call("load")], []) for _ in range(2)], refuse)

    def broken() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        crew.run([broken], refuse)
    crew.close()


# The page


def test_the_page_shows_what_the_command_prints() -> None:
    """The tables of the page have the rows and columns that the command prints, and no anomaly."""
    page = (ROOT / "docs/explorer.md").read_text(encoding="utf-8")
    for line in rules(MUTATIONS):
        assert line in page.splitlines()
    head, _, *rows = orders(walk(meeting, sampled(1)) for meeting in meetings())
    assert head in page.splitlines()
    for row in rows:
        [shown] = [line for line in page.splitlines() if line.startswith(f"|{row.split('|')[1]}|")]
        assert shown.count("|") == row.count("|")
        assert shown.endswith("| 0 |")
    assert f"{len(MUTATIONS)} of {len(MUTATIONS)}" in page
