"""What a run's client sends and reads is counted under the run: its start, its followed events, a look at it."""

from pathlib import Path
from typing import Any

from mooring.core import ids
from mooring.tracing import Traces, traffic

from .test_runs import app, follow, start, work

__all__ = ["app"]


def test_the_bytes_of_a_runs_client_are_the_runs_and_no_other_runs(run: Any, app: Path) -> None:
    async def scenario(site: Any) -> None:
        rooms = site.rooms
        started = await start(site)
        await work(site, started, steps=50)
        other = await start(site)
        response = await follow(site, started)
        async with response:
            stream = await response.read(1_000_000)
        named = {name.lower(): value for name, value in response.headers.raw}
        assert named[b"x-mooring-run"].decode() == started
        seen = await site.get(f"/v1/runs/{started}")
        assert (await site.get(f"/v1/runs/{other}", key=await site.key_with("read", project="other"))).status == 404
        await rooms.edge.flush()
        await rooms.projector.catch_up()
        for _ in range(2):
            trace = await Traces(rooms.journal).trace("default", run_id=ids.read("run", started))
            report = await traffic.report(rooms.journal, rooms.spans, rooms.blobs, trace)
            client = report.hops[0]
            assert (client.hop, client.exchanges) == ("client-serve", 3)
            least = len(stream) + len(seen.body)
            assert least < client.bytes_down < least + 50 * 30 + 3_000  # heads, the first answer, and chunks' sizes
            assert report.caller_bytes == client.bytes_up + client.bytes_down
            assert report.amplification == 1.0
            page = (await site.get(f"/ui/runs/{started}.json")).json["traffic"]
            assert (page["hops"], page["amplification"]) == (traffic.to_json(report)["hops"], 1.0)
            await rooms.projector.rebuild()  # and the same once more
        assert (await site.get(f"/ui/runs/{other}.json")).json["traffic"] is None
        alone = await Traces(rooms.journal).trace("default", run_id=ids.read("run", other))
        assert (await traffic.report(rooms.journal, rooms.spans, rooms.blobs, alone)).hops[0].exchanges == 1

    run(scenario, app=app)
