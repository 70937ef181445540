"""Keys and budgets in the browser: made, shown once, rotated with an overlap, revoked; caps that hold at once."""

import asyncio
import re

from mooring.core.money import show_usd

from .conftest import HOST, Browser, Open


def secret_of(text: str) -> str:
    found = re.search(r'<pre class="copy"[^>]*>(mr_[^<]+)</pre>', text)
    assert found is not None
    return found[1]


async def status(one: Browser, key: str) -> int:
    return (await one.get("/v1/runs", authorization=f"Bearer {key}")).status


def test_a_key_is_shown_once_and_works(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            made = await one.post("/ui/keys", {"name": "web <app>", "scope": "read", "expires_days": "7"})
            key = secret_of(made.text)
            assert made.headers["cache-control"] == "no-store"
            assert await status(one, key) == 200
            again, twin = await one.get("/ui/keys"), await one.get("/ui/keys.json")
            assert "web &lt;app&gt;" in again.text
            assert key not in again.text
            assert key not in twin.text
            assert [(found["name"], found["scopes"]) for found in twin.json["keys"]] == [("web <app>", ["read"])]

    asyncio.run(scene())


def test_a_key_without_a_scope_or_with_a_strange_end_is_refused(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            assert (await one.post("/ui/keys", {"name": "none"})).status == 400
            assert (await one.post("/ui/keys", {"name": "x", "scope": "read", "expires_days": "soon"})).status == 400
            assert (await one.get("/ui/keys.json")).json["keys"] == []

    asyncio.run(scene())


def test_a_rotated_key_goes_on_for_its_overlap_and_not_longer(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            for hours, old_status in (("24", 200), ("0", 401)):
                old = secret_of((await one.post("/ui/keys", {"name": hours, "scope": "read"})).text)
                (row,) = [key for key in (await one.get("/ui/keys.json")).json["keys"] if key["name"] == hours]
                rotated = await one.post(f"/ui/keys/{row['id']}/rotate", {"overlap_hours": hours})
                assert await status(one, secret_of(rotated.text)) == 200
                assert await status(one, old) == old_status

    asyncio.run(scene())


def test_a_revoked_key_stops_at_once(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            key = secret_of((await one.post("/ui/keys", {"name": "app", "scope": "read"})).text)
            assert await status(one, key) == 200
            (row,) = (await one.get("/ui/keys.json")).json["keys"]
            assert (await one.post(f"/ui/keys/{row['id']}/revoke")).headers["location"] == "/ui/keys"
            assert await status(one, key) == 401
            assert (await one.post(f"/ui/keys/{row['id']}/revoke")).status == 404

    asyncio.run(scene())


def test_a_cap_is_put_and_changed(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            await one.sign_in()
            budget = {"scope": "user", "subject": "u_7", "window": "day"}
            assert (await one.post("/ui/budgets", {**budget, "cap_usd": "0.50"})).status == 303
            assert (await one.post("/ui/budgets", {**budget, "cap_usd": "$2"})).status == 303
            (row,) = (await one.get("/ui/keys.json")).json["budgets"]
            assert show_usd(row["cap_nanos"]) == "$2.000000000"
            for wrong in ({**budget, "cap_usd": "much"}, {**budget, "subject": "", "cap_usd": "1"}, {"cap_usd": "1"}):
                assert (await one.post("/ui/budgets", wrong)).status == 400
            assert (await one.post("/ui/budgets/remove", budget)).status == 303
            assert (await one.post("/ui/budgets/remove", budget)).status == 404
            page = await one.get("/ui/keys")
            assert "No budget caps this project." in page.words
            assert "1 budget removed" in page.words

    asyncio.run(scene())


def test_who_may_not_administer_may_look_and_not_change(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            reader = await one.rooms.keys.create("default", name="reader", scopes=("read", "write", "call"))
            signed = {"authorization": f"Bearer {reader}", "origin": f"http://{HOST}"}
            page = await one.get("/ui/keys", **signed)
            assert page.status == 200
            assert "can look and not change" in page.words
            one.cookies["mooring"] = "x"
            for path in ("/ui/keys", "/ui/budgets", "/ui/budgets/remove"):
                denied = await one._send("POST", path, b"name=x&scope=admin", signed)
                assert denied.status == 403
            assert len(await one.rooms.keys.list("default")) == 1

    asyncio.run(scene())
