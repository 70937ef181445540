"""A projector that is killed at a point: `python dying_projector.py FOLDER before|after|whole`.

`before`: after the spans of a batch were written, before their COMMIT; `after`: after it, before the outbox's rows were
deleted. `whole` applies the rest and compares the rows with those of a rebuild.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from tests.tracing.conftest import Following  # noqa: E402
from tests.tracing.test_projector import everything  # noqa: E402

from mooring.storage import Database, Tx  # noqa: E402
from mooring.tracing.repository import rollups  # noqa: E402


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def work(folder: Path, point: str) -> None:
    database = Database.open(f"sqlite:///{folder / 'mooring.db'}")
    following = Following(database, folder)
    if point != "whole":
        for _ in range(5):
            await following.scene.agent_run()
    else:
        assert (await following.journal.counts())["outbox"] > 0
    if point == "before":
        add = rollups.add

        def last(tx: Tx, amounts: object) -> None:
            add(tx, amounts)  # type: ignore[arg-type]
            die()

        rollups.add = last  # type: ignore[assignment]
    elif point == "after":
        following.journal.outbox_done = die  # type: ignore[method-assign, assignment]
    await following.projector.catch_up()
    once = await everything(following.spans)
    assert len(once[0]) == 2 * 5 * 8
    await following.projector.rebuild()
    again = await everything(following.spans)
    print("the same" if again == once else f"{once} is not {again}")
    following.spans.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))
