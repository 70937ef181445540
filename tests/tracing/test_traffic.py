"""What a run's conversation costs in bytes: each step sends it whole, and that is said."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from mooring.storage import Blobs
from mooring.tracing.traffic import report, to_json, to_text


def test_the_resend_factor_is_what_was_sent_for_each_new_byte(following: Any, tmp_path: Path) -> None:
    async def work() -> None:
        scene = following.scene
        run = await scene.run()
        said: list[bytes] = []
        for step in range(1, 4):
            said.append(msgspec.json.encode({"role": "user", "content": "x" * (100 * step)}))
            call = scene.call(run, str(step), request_body=b"[" + b",".join(said) + b"]", request_elements=tuple(said))
            await scene.answered(await scene.send(call))
        await following.projector.catch_up()
        trace = await scene.traces.trace("default", run_id=run.id)
        found = await report(following.journal, following.spans, Blobs(tmp_path / "blobs"), trace)
        sizes = [len(one) for one in said]
        assert [step.conversation_bytes for step in found.steps] == [sum(sizes[:end]) for end in (1, 2, 3)]
        assert [step.resent_bytes for step in found.steps] == [0, sizes[0], sizes[0] + sizes[1]]
        assert found.resend_factor == (3 * sizes[0] + 2 * sizes[1] + sizes[2]) / sum(sizes)
        hops = {hop.hop: (hop.exchanges, hop.bytes_up, hop.bytes_down) for hop in found.hops}
        assert hops["serve-provider"] == (3, 3 * 1_234, 3 * 567)
        text = "\n".join(to_text(found))
        assert "worker-serve         0 exchanges      not counted" in text
        assert "resend factor 1.7" in text
        shown: Any = to_json(found)
        assert shown["hops"][1]["bytes_up"] is None

    asyncio.run(work())
