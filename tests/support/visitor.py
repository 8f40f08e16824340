"""A visitor whose browser sends and keeps cookies by name, domain and path. Requests and responses are two steps."""

from __future__ import annotations

from typing import Any

from support.web import Answer, Handler, Site


class Visitor:
    """Somebody who visits a site. ``jar``: what the browser keeps, by name, domain and path."""

    def __init__(self, site: Site, jar: dict[tuple[str, str, str], str] | None = None) -> None:
        self.site = site
        self.jar = dict(jar or {})

    def send(self, handler: Handler, **options: Any) -> Answer:
        """Send a request with the cookies of this moment. Its response has not arrived yet."""
        return self.site.request(handler, self.cookies, **options)

    def take(self, answer: Answer) -> None:
        """Let a response arrive."""
        for name, value in answer.headers:
            if name == "Set-Cookie":
                self._keep(value)

    def visit(self, handler: Handler, **options: Any) -> Any:
        """Send a request, let its response arrive, and return what the handler returned."""
        answer = self.send(handler, **options)
        self.take(answer)
        return answer.result

    def key(self) -> str | None:
        """Return the key of the session that the browser has by now."""
        key: str | None = self.visit(lambda session: session.key)
        return key

    @property
    def cookies(self) -> str:
        """The Cookie header."""
        return "; ".join(f"{name}={value}" for (name, _, _), value in self.jar.items())

    def _keep(self, line: str) -> None:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        said = dict(attribute.partition("=")[::2] for attribute in attributes)
        place = name, said.get("Domain", ""), said["Path"]
        self.jar.pop(place, None)
        if said.get("Max-Age") != "0":
            self.jar[place] = value
