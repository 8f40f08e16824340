"""connect-redis' records: what Express wrote is read, unknown members survive, what it could not read is refused."""

from __future__ import annotations

import json
import math
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import Clock

from wsgisession import Cookie, Record, StoreError, UnsupportedType
from wsgisession.draft import Draft
from wsgisession.express import TAKEN, ExpressCodec
from wsgisession.record import Marker

COOKIE = '{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}'
HIGH, LOW = "\ud83d", "\ude00"


@pytest.fixture
def codec(clock: Clock) -> ExpressCodec:
    return ExpressCodec(clock=clock)


def record(codec: ExpressCodec, text: str | bytes) -> Record:
    """Return the record of a payload that is one."""
    found = codec.unpack(text.encode() if isinstance(text, str) else text)
    assert isinstance(found, Record)
    return found


def items(codec: ExpressCodec, found: Record) -> dict[str, Any]:
    return {name: codec.decode(line) for name, line in found.data.items()}


def of(codec: ExpressCodec, **data: Any) -> Record:
    """Return the record of a session that begins here."""
    return Record(1.5, "ada", True, {name: codec.encode(value, name) for name, value in data.items()})


def parsed(payload: bytes) -> dict[str, Any]:
    return json.loads(payload)  # type: ignore[no-any-return]


class TestReading:
    """What Express wrote."""

    def test_items_are_all_but_the_cookie(self, codec: ExpressCodec) -> None:
        """In their order, decoded when they are read."""
        found = record(
            codec, f'{{"cookie":{COOKIE},"views":1,"user":{{"name":"Zoë","tags":["a",null,true,1.5]}}}}'
        )
        assert items(codec, found) == {"views": 1, "user": {"name": "Zoë", "tags": ["a", None, True, 1.5]}}
        assert found.data["user"] == '{"name":"Zoë","tags":["a",null,true,1.5]}'.encode()

    def test_a_record_of_express_begins_now(self, codec: ExpressCodec, clock: Clock) -> None:
        """It has no created; nobody is logged in, and nothing is remembered."""
        found = record(codec, f'{{"cookie":{COOKIE}}}')
        assert (found.created, found.owner, found.persistent, found.data) == (clock.now, None, False, {})

    def test_blanks_between_the_members_do_not_matter(self, codec: ExpressCodec) -> None:
        """A serializer of the application's own may write them."""
        found = record(codec, f' {{ "a" :\t[ 1 ] ,\n"cookie":\r{COOKIE} , "b":2 }} ')
        assert items(codec, found) == {"a": [1], "b": 2}

    def test_numbers_come_as_they_are_written(self, codec: ExpressCodec) -> None:
        """Also those that could not be stored from here; what is not touched stays as it was."""
        text = "[100000000000000000000,1e+21,5e-324,1.0]"
        found = record(codec, f'{{"cookie":{COOKIE},"a":{text}}}')
        assert items(codec, found) == {"a": [10**20, 1e21, 5e-324, 1.0]}
        assert text.encode() in codec.pack(found)

    def test_created_may_have_become_an_integer(self, codec: ExpressCodec) -> None:
        """Express writes 3 for 3.0."""
        created = record(codec, f'{{"cookie":{COOKIE},"wsgisession":{{"created":3}}}}').created
        assert created == 3.0 and type(created) is float

    @pytest.mark.parametrize(
        ("max_age", "seconds"),
        [
            ("1500", 1.5),
            ("0.5", 0.0005),
            ("8640000000000000", 8.64e12),
            *((text, None) for text in ("null", "false", "true", "0", "-1", '"1"', "{}", "8640000000000001")),
        ],
    )
    def test_original_max_age_is_the_timeout(
        self, codec: ExpressCodec, max_age: str, seconds: float | None
    ) -> None:
        """In milliseconds, where it is a time."""
        found = record(codec, f'{{"cookie":{{"originalMaxAge":{max_age}}}}}')
        assert found.idle_timeout == seconds

    def test_an_idle_timeout_becomes_original_max_age(self, codec: ExpressCodec) -> None:
        """In milliseconds; without one it is null. What else the cookie says stays."""
        own = Record(1.5, None, False, {}, idle_timeout=900.0)
        assert parsed(codec.pack(own))["cookie"]["originalMaxAge"] == 900_000
        found = record(codec, '{"cookie":{"originalMaxAge":60000,"priority":"high"}}')
        longer = parsed(codec.pack(found.with_facts(1.5, None, False, None)))
        assert longer["cookie"] == {"originalMaxAge": None, "priority": "high"}

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "5",
            "nullx",
            "null 1",
            "[]",
            "{",
            "{}",
            '{"a":1}',
            f'{{"cookie":{COOKIE}',
            f'{{"cookie":{COOKIE}}} x',
            f'{{"cookie":{COOKIE},}}',
            f'{{"cookie":{COOKIE} "a":1}}',
            f'{{"cookie":{COOKIE},"a"}}',
            f'{{"cookie":{COOKIE},"a":NaN}}',
            f'{{"cookie":{COOKIE},"a":{"[" * 100_000}}}',
            f'{{"cookie":{COOKIE},"a":{"9" * 5000}}}',
            f'{{"cookie":{COOKIE},1:2}}',
            '{"cookie":null}',
            '{"cookie":[]}',
            *(
                f'{{"cookie":{COOKIE},"wsgisession":{own}}}'
                for own in (
                    "5",
                    "null",
                    "[]",
                    '{"version":null}',
                    '{"nonce":5}',
                    '{"created":"x"}',
                    '{"created":null}',
                    '{"created":true}',
                    '{"created":1e300}',
                    '{"owner":5}',
                    '{"persistent":1}',
                    '{"persistent":null}',
                )
            ),
            '[1,"pX3kQ0aZ",1764018000.0,"ada",false,[]]',
        ],
        ids=lambda text: text[-50:],
    )
    def test_what_cannot_be_read_is_a_value_error(self, codec: ExpressCodec, text: str) -> None:
        """Foreign, corrupt or of another version; JSONCodec's records too."""
        with pytest.raises(ValueError, match="a stored record cannot be read"):
            codec.unpack(text.encode())

    def test_errors_quote_nothing(self, codec: ExpressCodec) -> None:
        """They are logged, and the data is not for the log."""
        for payload in (b'{"cookie":{},"password":secret', b'{"password":"secret"}', b"\xffsecret"):
            with pytest.raises(ValueError) as caught:
                codec.unpack(payload)
            assert "secret" not in str(caught.value) and caught.value.__cause__ is None
        with pytest.raises(ValueError) as caught:
            codec.decode(b'"secret')
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "line",
        [b"", b"1 2", b"{", b"\xff", b"NaN"],
    )
    def test_a_value_that_cannot_be_read_is_a_value_error(self, codec: ExpressCodec, line: bytes) -> None:
        """How deep one may nest is in ``test_values_faults.py``."""
        with pytest.raises(ValueError, match="a stored value cannot be read"):
            codec.decode(line)


class TestWriting:
    """What Express reads."""

    def test_a_new_record_has_what_express_needs(self, codec: ExpressCodec) -> None:
        """The cookie, the items beside it, and a member for the rest."""
        whole = parsed(codec.pack(of(codec, views=1, cart=["é"])))
        nonce = whole["wsgisession"].pop("nonce")
        assert whole == {
            "cookie": {
                "originalMaxAge": None,
                "expires": None,
                "httpOnly": True,
                "path": "/",
                "sameSite": "lax",
            },
            "views": 1,
            "cart": ["é"],
            "wsgisession": {"version": 1, "created": 1.5, "owner": "ada", "persistent": True},
        }
        assert list(whole) == ["cookie", "views", "cart", "wsgisession"] and len(nonce) == 8

    def test_the_cookie_member_says_what_our_cookie_says(self) -> None:
        """So Express, setting it again, sets the same one."""
        cookie = Cookie(
            domain="example.org", path="/a", secure=True, partitioned=True, samesite="None", httponly=False
        )
        assert parsed(ExpressCodec(cookie).pack(Record(0.0, None, False, {})))["cookie"] == {
            "originalMaxAge": None,
            "expires": None,
            "httpOnly": False,
            "path": "/a",
            "domain": "example.org",
            "secure": True,
            "partitioned": True,
            "sameSite": "none",
        }

    def test_payloads_are_unique(self, codec: ExpressCodec) -> None:
        """Of equal records too."""
        assert len({codec.pack(of(codec, a=1)) for _ in range(100)}) == 100

    def test_in_place_of_an_ended_record_stood_null(self, codec: ExpressCodec) -> None:
        """For a moment, in version 1.0, which knew no conditional delete: it is a marker that leads nowhere."""
        assert codec.unpack(b"null \n\t ") == Marker(None, True) and not codec.markers

    def test_a_record_of_a_later_version_is_an_error(self, codec: ExpressCodec) -> None:
        """Nobody may take it for no session."""
        with pytest.raises(StoreError, match="later version"):
            codec.unpack(b'{"cookie":{},"wsgisession":{"version":2}}')

    def test_what_is_unknown_survives(self, codec: ExpressCodec) -> None:
        """At the top under names no item can have, inside the cookie and inside our own member; as it was written."""
        cookie = '{"originalMaxAge":60000,"expires":"2026-01-01T00:00:00.000Z","priority":"high","x":[1.0]}'
        text = f'{{"cookie":{cookie},"id":"é","a":1,"toString":1.0,"wsgisession":{{"later":{{"a":1.0}},"owner":"ada"}}}}'
        found = record(codec, text)
        assert list(found.data) == ["a"]
        draft = Draft(codec, found)
        draft.set("b", 2)
        again = codec.pack(draft.record())
        assert f'"cookie":{cookie},'.encode() in again
        assert '"id":"é"'.encode() in again and b'"toString":1.0' in again
        assert b'"later":{"a":1.0}' in again
        assert parsed(again)["wsgisession"]["owner"] == "ada" and parsed(again)["b"] == 2

    def test_created_is_written_from_the_first_write_on(self, codec: ExpressCodec, clock: Clock) -> None:
        """And then stays."""
        found = record(codec, f'{{"cookie":{COOKIE}}}')
        clock.advance(10)
        again = record(codec, codec.pack(found))
        assert again.created == found.created == clock.now - 10

    @pytest.mark.parametrize("created", [math.nan, math.inf])
    def test_created_is_finite(self, codec: ExpressCodec, created: float) -> None:
        """Nothing else would be read again."""
        with pytest.raises(ValueError, match="finite"):
            codec.pack(Record(created, None, False, {}))

    def test_reading_costs_no_write_where_express_wrote_other_letters(self, codec: ExpressCodec) -> None:
        """Values are spelled as JSON.stringify does, so a list that was handed out and not changed is not changed."""
        found = record(codec, f'{{"cookie":{COOKIE},"a":["é\u2028\\u0001\\ud800/",{{"~b":1}}]}}')
        draft = Draft(codec, found)
        assert draft.get("a") == ["é\u2028\x01\ud800/", {"~b": 1}]
        assert draft.record() is found

    def test_data_is_not_in_a_repr(self, codec: ExpressCodec) -> None:
        """A record's may end up in a log."""
        text = '{"cookie":{"x":"secret"},"id":"secret","a":"secret","wsgisession":{"x":"secret"}}'
        assert "secret" not in repr(record(codec, text))


class Colour(IntEnum):
    RED = 1


class Text(str):
    pass


def cycle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


CARRIED = {
    "None": None,
    "booleans": [True, False],
    "integers": [0, -1, 2**53, -(2**53)],
    "floats": [0.5, -1e-7, 5e-324, 1e21, -1e300, 1.7976931348623157e308],
    "text": ["", "é", "\U0001f600", "\u2028", "\0\b\x7f", '"\\/'],
    "surrogates": [HIGH, LOW, LOW + HIGH, HIGH + "a" + LOW],
    "dicts": {"": {}, "a": {"b": []}, HIGH: 1, "~set": [1], "__proto__": 1},
    "100 levels": nested(100),
}
REFUSED = {
    "1.0": (1.0, "int\\(x\\)"),
    "-0.0": (-0.0, "without a fraction"),
    "nan": (math.nan, "NaN"),
    "inf": (-math.inf, "infinities"),
    "past 2**53": (2**53 + 1, "str\\(x\\)"),
    "past -2**53": (-(2**53) - 1, "round"),
    "a pair of surrogates": (HIGH + LOW, "one character"),
    "tuple": ((1,), "tuple cannot be shared with JavaScript; store list\\(x\\)"),
    "enum": (Colour.RED, "store x.value"),
    "str's subclass": (Text("a"), "str\\(x\\)"),
    "dict's subclass": (type("D", (dict,), {})(), "dict\\(x\\)"),
    "object": (object(), "object cannot be shared"),
}


class TestValues:
    """What both languages' JSON can carry."""

    @pytest.mark.parametrize("value", CARRIED.values(), ids=CARRIED.keys())
    def test_what_is_carried_comes_back(self, codec: ExpressCodec, value: Any) -> None:
        """Equal and of the same type, as UTF-8."""
        line = codec.encode(value, "x")
        assert repr(codec.decode(line)) == repr(value) and line.decode()

    @pytest.mark.parametrize(("value", "words"), REFUSED.values(), ids=REFUSED.keys())
    def test_what_hides_inside_is_refused_with_its_path(
        self, codec: ExpressCodec, value: Any, words: str
    ) -> None:
        """With words that say what to store instead."""
        with pytest.raises(UnsupportedType, match=rf"^x\[0\]\['a'\]: .*{words}"):
            codec.encode([{"a": value}], "x")

    @pytest.mark.parametrize("value", [cycle(), nested(101)], ids=["cycle", "101 levels"])
    def test_what_is_too_deep_is_refused(self, codec: ExpressCodec, value: Any) -> None:
        """With the beginning of its path."""
        with pytest.raises(
            UnsupportedType, match=r"^x\[.{10,30}\.\.\.: more than 100 levels deep, or it contains itself"
        ):
            codec.encode(value, "x")

    @pytest.mark.parametrize("key", [1, True, None, ("a",), HIGH + LOW, Text("a")], ids=repr)
    def test_keys_are_text(self, codec: ExpressCodec, key: Any) -> None:
        """That JavaScript keeps."""
        with pytest.raises(UnsupportedType, match=r"^x\['a'\]: "):
            codec.encode({"a": {key: 1}}, "x")

    def test_names_of_items_are_text_that_javascript_keeps(self, codec: ExpressCodec) -> None:
        """Found out when the record is packed."""
        with pytest.raises(UnsupportedType, match="a key: two surrogates"):
            codec.pack(Record(0.0, None, False, {HIGH + LOW: b"1"}))

    @pytest.mark.parametrize("name", sorted(TAKEN))
    def test_names_of_express_sessions_own_object_are_refused(self, codec: ExpressCodec, name: str) -> None:
        """At the top, where they are assigned; inside a value they are like any other."""
        with pytest.raises(
            UnsupportedType, match=f"session\\['{name}'\\]: express-session's own object has that name"
        ):
            Draft(codec, Record(0.0, None, False, {})).set(name, 1)
        Draft(codec, Record(0.0, None, False, {})).set("a", {name: 1})

    def test_values_are_refused_where_they_are_assigned(self, codec: ExpressCodec) -> None:
        """Also what a list contains, and what JSONCodec would take."""
        for value in (1.0, (1,), [1.0], {"a": 2**60}):
            with pytest.raises(UnsupportedType, match=r"^session\['a'\]"):
                Draft(codec, Record(0.0, None, False, {})).set("a", value)


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda x: not x.is_integer() or abs(x) >= 1e21
)
# Any character, and of the surrogates one, which never makes a pair with itself.
WORDS = st.text(st.characters(exclude_categories=["Cs"]) | st.just(HIGH), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


def members(*but: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(WORDS.filter(lambda name: name not in but), VALUES, max_size=3)


OWNERS = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255
)


@given(members(*TAKEN), OWNERS, st.booleans(), st.floats(-1e12, 1e12))
def test_any_record_comes_back(
    data: dict[str, Any], owner: str | None, persistent: bool, created: float
) -> None:
    """Round trip, the order of the items included."""
    codec = ExpressCodec()
    lines = {name: codec.encode(value, "x") for name, value in data.items()}
    again = record(codec, codec.pack(Record(created, owner, persistent, lines)))
    assert (again.created, again.owner, again.persistent) == (created, owner, persistent)
    assert list(again.data.items()) == list(lines.items()) and repr(items(codec, again)) == repr(data)


@given(
    members("cookie", "wsgisession"),
    members(),
    members("version", "nonce", "created", "owner", "persistent"),
    st.booleans(),
)
def test_unknown_members_survive(
    top: dict[str, Any], cookie: dict[str, Any], own: dict[str, Any], escaped: bool
) -> None:
    """All of them, under any name, whether Express wrote them or a serializer that escapes everything."""
    whole = {**top, "cookie": cookie, "wsgisession": own}
    text = json.dumps(whole, ensure_ascii=escaped, separators=(",", ":") if escaped else (", ", ": "))
    codec = ExpressCodec()
    found = record(codec, text.encode("utf-8", "backslashreplace"))
    again = parsed(codec.pack(found))
    for known in ("version", "nonce", "created", "owner", "persistent"):
        del again["wsgisession"][known]
    assert again == whole


@given(st.binary())
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    """Only ValueError."""
    try:
        ExpressCodec().unpack(payload)
    except ValueError as error:
        assert str(error).startswith("a stored record cannot be read")
