"""`/v1/models` tells a program what it must know to choose: context, abilities, prices."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from .conftest import Site, site

PROVIDER = {
    "type": "sim",
    "base_url": "http://127.0.0.1:9/v1",
    "models": ["echo", "image", "bare"],
    "prices": {"echo": {"input_usd": "0.25", "output_usd": "2"}, "image": {"unit_usd": "0.04"}},
    "facts": {"echo": {"context_tokens": 8000, "tools": True, "inputs": ["text", "image"]}},
}
MODELS = {"fast": {"targets": ["sim/echo", "sim/bare"]}}


def look(tmp_path: Path, use: Callable[[Site], object]) -> None:
    async def whole() -> None:
        async with site(tmp_path, gateway={"providers": {"sim": PROVIDER}, "models": MODELS}) as made:
            await use(made)  # type: ignore[misc]

    asyncio.run(whole())


def test_a_model_tells_its_context_abilities_and_price(tmp_path: Path) -> None:
    async def use(site: Site) -> None:
        found = {one["id"]: one for one in (await site.get("/v1/models")).json["data"]}
        echo = found["sim/echo"]
        assert echo["context_length"] == 8000
        assert echo["capabilities"]["tools"] is True
        assert echo["capabilities"]["inputs"] == ["image", "text"]
        assert (echo["pricing"]["input_per_million"], echo["pricing"]["output_per_million"]) == ("0.25", "2")
        assert found["sim/image"]["pricing"]["per_unit"] == "0.04"
        assert found["sim/bare"]["pricing"] is None

    look(tmp_path, use)


def test_a_name_promises_only_what_all_of_its_targets_can(tmp_path: Path) -> None:
    async def use(site: Site) -> None:
        fast = (await site.get("/v1/models/fast")).json
        assert (fast["context_length"], fast["capabilities"]["tools"], fast["pricing"]) == (None, None, None)
        assert [target["name"] for target in fast["targets"]] == ["sim/echo", "sim/bare"]
        assert (await site.get("/v1/models/sim/echo")).json["id"] == "sim/echo"
        assert (await site.get("/v1/models/sim/nobody")).status == 404

    look(tmp_path, use)
