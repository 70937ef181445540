"""Signing in: a button spends the link, once, whichever server is asked; the cookie opens the pages and no more."""

import asyncio
from pathlib import Path

from mooring.gateway.keys import LOGIN
from mooring.server.ui.session import login_path, mint

from .conftest import Browser, Open, opener


def test_a_link_that_is_only_fetched_still_works(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            token = await mint(one.rooms, "default")
            for _ in range(3):  # a chat program's preview, a mail scanner, the user
                page = await one.get(login_path(token))
                assert page.status == 200
                assert "set-cookie" not in page.headers
            assert (await one.post("/ui/login", {"token": token})).headers["location"] == "/ui/home"
            assert (await one.get("/ui/home")).status == 200

    asyncio.run(scene())


def test_a_link_works_once_even_when_two_servers_are_asked_at_once(browser_on_either: Open) -> None:
    async def scene() -> None:
        async with browser_on_either() as one, browser_on_either() as other:
            token = await mint(one.rooms, "default")
            pages = await asyncio.gather(*(each.post("/ui/login", {"token": token}) for each in (one, other)))
            assert sorted(page.status for page in pages) == [303, 401]
            again = await other.post("/ui/login", {"token": token})
            assert "This link was used before, or is older than ten minutes." in again.words

    asyncio.run(scene())


def test_an_old_link_is_refused(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            token = await one.rooms.keys.create("default", name="old", scopes=(LOGIN,), lifetime_seconds=-1)
            assert (await one.post("/ui/login", {"token": token})).status == 401

    asyncio.run(scene())


def test_a_key_is_no_link_and_is_not_spent_by_the_attempt(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            key = await one.rooms.keys.create("default", name="a program's", scopes=("read",))
            assert (await one.post("/ui/login", {"token": key})).status == 401
            assert (await one.get("/v1/runs", authorization=f"Bearer {key}")).status == 200

    asyncio.run(scene())


def test_a_token_opens_nothing_by_itself(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            token = await mint(one.rooms, "default")
            for path in ("/v1/runs", "/v1/models", "/ui/home.json"):
                assert (await one.get(path, authorization=f"Bearer {token}")).status == 403

    asyncio.run(scene())


def test_the_cookie_is_for_the_pages_alone(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            token = await mint(one.rooms, "default")
            cookie = (await one.post("/ui/login", {"token": token})).headers["set-cookie"]
            for part in ("HttpOnly", "SameSite=Lax", "Path=/ui"):
                assert part in cookie
            assert (await one.get("/v1/runs")).status == 401  # even if a browser sent it along

    asyncio.run(scene())


def test_a_form_of_another_site_does_nothing(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            for origin in (None, "null", "http://evil.example", "http://127.0.0.1:9999"):
                for path in ("/ui/ask", "/ui/logout", "/ui/login", "/ui/runs/run_0/cancel"):
                    page = await one.post(path, {"question": "?"}, origin=origin)
                    assert page.status in (401, 403), (path, origin)
            assert (await one.get("/ui/home")).status == 200

    asyncio.run(scene())


def test_signing_out_ends_the_session_and_not_only_the_cookie(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            thief = Browser(one.rooms, one.application, dict(one.cookies))
            assert (await one.post("/ui/logout")).status == 303
            assert (await thief.get("/ui/home")).status == 401

    asyncio.run(scene())


def test_the_front_door_leads_to_the_pages(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for path in ("/", "/ui", "/ui/"):
                page = await one.get(path)
                assert (page.status, page.headers["location"]) == (303, "/ui/home")

    asyncio.run(scene())


def test_two_homes_on_one_host_do_not_share_a_cookie(browser: Open, tmp_path: Path) -> None:
    async def name(open_one: Open) -> str:
        async with open_one() as one:
            await one.sign_in()
            return next(iter(one.cookies))

    assert asyncio.run(name(browser)) != asyncio.run(name(opener(tmp_path, None)))
