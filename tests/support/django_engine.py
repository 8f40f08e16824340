"""A session engine that a project makes of ours."""

from wsgisession.django import SessionStore as Ours


class SessionStore(Ours):
    """With something of its own."""
