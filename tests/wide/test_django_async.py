"""Async views: what Django's sessions offer them, on our sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib import auth
from django.test import override_settings
from support.django_site import AsyncBrowser, user
from support.store_double import StoreDouble

from wsgisession.django import get_session, manager

pytestmark = pytest.mark.wide

Test = Callable[[AsyncBrowser], Coroutine[Any, Any, None]]


def run(test: Test) -> None:
    """Run a coroutine with a browser, and a store of its own."""
    with override_settings(WSGISESSION={"store": StoreDouble()}):
        asyncio.run(test(AsyncBrowser()))


async def put(request: Any) -> None:
    await request.session.aset("cart", [1])


async def items(request: Any) -> dict[str, Any]:
    return dict(await request.session.aitems())


async def log_in(request: Any) -> None:
    await auth.alogin(request, await sync_to_async(user)("ada"))


def test_overlapping_requests_keep_each_others_changes() -> None:
    """Eight at once, each of which has read the session before any has saved."""

    async def test(browser: AsyncBrowser) -> None:
        await browser.visit(put)
        read = asyncio.Barrier(8)

        def add(number: int) -> Any:
            async def act(request: Any) -> None:
                cart = await request.session.aget("cart")
                await read.wait()
                cart.append(number)

            return act

        await asyncio.gather(*(browser.visit(add(number)) for number in range(10, 18)))
        assert sorted((await browser.visit(items))["cart"]) == [1, *range(10, 18)]

    run(test)


def test_keys() -> None:
    """``acycle_key`` gives a new one, ``aflush`` ends the session, ``asave`` and ``acreate`` store it at once."""

    async def test(browser: AsyncBrowser) -> None:
        async def cycle(request: Any) -> tuple[str, str]:
            before = request.session.session_key
            await request.session.acycle_key()
            assert not await request.session.aexists(before)
            return before, request.session.session_key

        async def flush(request: Any) -> None:
            await request.session.aflush()

        async def create(request: Any) -> bool:
            await request.session.acreate()
            return bool(await request.session.aexists(request.session.session_key))

        await browser.visit(put)
        before, after = await browser.visit(cycle)
        assert before != after == browser.cookies["sessionid"].value
        assert await browser.visit(items) == {"cart": [1]}
        await browser.visit(flush)
        assert await browser.visit(items) == {}
        assert await browser.visit(create) is True

    run(test)


def test_the_event_loop_never_waits_for_the_store() -> None:
    """Whatever a view awaits: the store is asked in a thread, where no loop runs."""
    store, running = StoreDouble(), []

    def look() -> None:
        try:
            running.append(asyncio.get_running_loop())
        except RuntimeError:
            pass

    async def act(request: Any) -> None:
        session = request.session
        await session.aset("cart", [2])
        await session.aset_expiry(300)
        assert await session.aget_expiry_age() == 300 and await session.ahas_key("cart")
        await session.asave()
        await session.acycle_key()
        assert (await session.aload())["cart"] == [2] and await session.aexists(session.session_key)
        await session.acreate()
        await session.adelete(session.session_key)
        await session.aflush()
        await session.aclear_expired()

    async def test(browser: AsyncBrowser) -> None:
        for handler in (put, act, log_in, put, auth.alogout):
            await browser.visit(handler)

    store.before(None, look, times=None)
    with override_settings(WSGISESSION={"store": store}):
        asyncio.run(test(AsyncBrowser()))
    assert running == [] and {"load", "create", "replace", "delete", "purge"} <= {*store.calls}


def test_a_login_names_the_owner() -> None:
    """``alogin`` and ``alogout``."""

    async def test(browser: AsyncBrowser) -> None:
        async def owner(request: Any) -> str | None:
            return (await sync_to_async(get_session)(request)).owner

        ada = str((await sync_to_async(user)("ada")).pk)
        await browser.visit(log_in)
        assert await browser.visit(owner) == ada and len(manager().owned_by(ada)) == 1
        await browser.visit(auth.alogout)
        assert await browser.visit(owner) is None and manager().owned_by(ada) == []

    run(test)
