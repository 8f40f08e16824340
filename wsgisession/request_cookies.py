"""RequestCookies: the sessions that the cookies of one request name, and what happens to them. Knows no draft, no
environ and no headers.

A browser may bring several cookies of our name, for example of another path or domain, or under a former name. A cookie
with a valid signature names a live record, or a marker, or nothing any more.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from wsgisession.cookie import Cookie
from wsgisession.errors import StoreError
from wsgisession.log import event
from wsgisession.record import Marker
from wsgisession.records import Stored
from wsgisession.shared import Setup

_read = Cookie.read  # to look a static method up takes 0.04 µs

SIGNED = 8  # so many cookies of a name with a valid signature are looked up
_UNUSUAL = 190  # characters of a header; in a shorter one nothing is ever left out


@dataclass(slots=True, repr=False, eq=False)
class RequestCookies:
    """The validly signed cookies of one request.

    Args:
        header: The Cookie header. None or empty: there is none.
        scheme: ``wsgi.url_scheme``.
        names: The cookie's names on the wire: the present one, then the former ones.
    """

    _setup: Setup
    header: str | None
    scheme: str | None
    names: tuple[str, ...]
    found: dict[str, Stored | Marker | None]
    """The record or marker of each cookie that was looked up. None: there is none."""
    hide: bool = False
    """True: the browser will get a newer cookie, or several sessions live, or not all cookies were seen. No session may
    begin.
    """
    id: str | None = None
    """The id that the browser has, or is to get. None: there is none."""
    stale: bool = False
    """True: that id came under a former name or an old secret. A response that is no failure sets the cookie again."""

    # What came

    def live(self) -> Stored | None:
        """Return the one session that lives, of those that the cookies brought, and take note of its id.

        None: no session lives, or several do, and nobody can tell which one is meant.
        """
        header, setup, found, names = self.header or "", self._setup, self.found, self.names
        identity, records, lives, complete = setup.signer, setup.records, 0, True
        for name in names:
            for token in _read(header, name):
                verified = identity.unsign(name, token)
                if verified is None:
                    setup.bad_signatures.add(token)
                    continue
                id, old_secret = verified
                key = identity.key(id)
                if key in found:
                    continue
                if len(found) == SIGNED:
                    complete = False
                    break
                stored = found[key] = records.find(key)
                if isinstance(stored, Stored):
                    lives += 1
                    one = stored
                    self.id, self.stale = id, old_secret or name != names[0]
            if lives or any(found.values()):  # a marker too: the newer cookie has the present name
                break
        if lives == 1:
            return one
        if found or len(header) > _UNUSUAL or "," in header:
            self._explain(header, lives, complete)
        return None

    def _explain(self, header: str, lives: int, complete: bool) -> None:
        """Log why there is no session: those of the cookies have ended, or several live, or not all cookies were seen."""
        setup, found, names = self._setup, self.found, self.names
        show = setup.records.show
        for key, stands in found.items():
            if stands is None:
                event(
                    logging.DEBUG, "unknown id", "a cookie's session has expired or was ended", key=show(key)
                )
            else:
                self.hide = True
        if lives:
            live = [show(key) for key, stands in found.items() if isinstance(stands, Stored)]
            setup.advice.warn_once("two cookies", cookie=names[0], keys=live)
        elif not complete or any(Cookie.left_out(header, name) for name in names):
            self.hide = True
            setup.advice.warn_once("too many cookies", cookie=names[0])
        elif not found and Cookie.joined(header, names[0]):
            setup.advice.warn_once("joined cookies", cookie=names[0])

    def keys(self) -> list[str]:
        """Return the keys of the cookies, under all their names."""
        signed = [id for name in self.names for id in self._ids(name)]
        return list(dict.fromkeys([*self.found, *map(self._setup.signer.key, signed)]))[:SIGNED]

    def _ids(self, name: str) -> list[str]:
        """Return the ids of the validly signed cookies of a name."""
        unsign = self._setup.signer.unsign
        found = [unsign(name, token) for token in _read(self.header or "", name)]
        return [verified[0] for verified in found if verified is not None]

    def marked(self) -> list[str]:
        """Return the keys under which a marker stands: the id of their session changed."""
        return [key for key, stands in self.found.items() if isinstance(stands, Marker)]

    def heir(self, owner: str) -> Stored | None:
        """Return the session that a login of the same owner made from the session of a cookie."""
        for stands in self.found.values():
            heir = self._setup.records.follow(stands) if isinstance(stands, Marker) else None
            if heir is not None and heir.record.owner == owner:
                return heir
        return None

    def overtaken(self, own: Collection[str]) -> bool:
        """True if another request's login left a marker under a cookie that had nothing before."""
        seen = False
        for key, stands in self.found.items():
            marker = None if stands is not None else self._setup.records.marker(key)
            if marker is not None and marker.successor not in own:
                self.found[key] = marker
                seen = True
        return seen

    # What becomes of it

    def find_others(self) -> None:
        """Also look up cookies of former names, which were not looked at because of the present one."""
        for key in self.keys():
            if key not in self.found:
                self.found[key] = self._setup.records.find(key)

    def end_others(self, own: Collection[str]) -> None:
        """End the sessions of several live cookies, so that only one cookie is valid."""
        for key, stands in self.found.items():
            if isinstance(stands, Stored) and key not in own:
                self._setup.records.end(key)
                self.found[key] = None

    def mark_others(self, own: Collection[str], successor: str) -> None:
        """Leave a marker under each other cookie: a late request with it must not overwrite the new one."""
        records = self._setup.records
        with suppress(StoreError):  # logged; the login itself is done
            self.find_others()
            self.end_others(own)
            for key, stands in self.found.items():
                if stands is None:
                    records.mark(key, successor)

    # What the response says of them

    def token(self) -> str | None:
        """Return the value that the cookie should have by now. None: there is no id."""
        return None if self.id is None else self._setup.signer.sign(self.names[0], self.id)

    def set(self, max_age: int | None) -> list[str]:
        """Return the Set-Cookie values that give the browser the id, and take away the cookies of former names."""
        cookie, name, id = self._setup.cookie, self.names[0], self.id
        assert id is not None
        secure, token = cookie.is_secure(self.scheme), self._setup.signer.sign(name, id)
        set_cookie = cookie.render(name, token, secure=secure, max_age=max_age)
        return [set_cookie] if len(self.names) == 1 else [set_cookie, *self._expire_former(secure)]

    def expire(self) -> list[str]:
        """Return the Set-Cookie values that remove each cookie of the request."""
        cookie, name = self._setup.cookie, self.names[0]
        secure = cookie.is_secure(self.scheme)
        present = [cookie.expire(name, secure=secure)] if self._ids(name) else []
        return present + self._expire_former(secure)

    def _expire_former(self, secure: bool) -> list[str]:
        expire = self._setup.cookie.expire_former
        return [value for name in self.names[1:] if self._ids(name) for value in expire(name, secure=secure)]
