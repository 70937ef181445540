"""A process that ingests a folder and says where it is: `python ingesting.py URL INDEX FOLDER ASKED [STOP_AT]`.

Each text that it embeds is a line of ASKED. At the STOP_AT-th outcome it says so and waits to be killed.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.rag.hashing import HashingEmbedder

from mooring.rag import DocumentIndex, DocumentRepository, Outcome, Rag, RagConfig
from mooring.storage import Database


class Writing(HashingEmbedder):
    """Notes what is bought before it gives it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    async def __call__(self, texts: Sequence[str], /, *, model: str) -> Sequence[Sequence[float]]:
        with self._file.open("a") as asked:
            asked.writelines(f"{text!r}\n" for text in texts)
        return await super().__call__(texts, model=model)


async def main(url: str, index: str, folder: str, asked: str, stop_at: int) -> None:
    async def record(call: object, answer: object) -> None:
        """Nothing is searched here."""

    count = 0

    async def note(outcome: Outcome) -> None:
        nonlocal count
        count += 1
        if count == stop_at:
            sys.stdout.write("here\n")
            sys.stdout.flush()
            os.read(0, 1)  # nobody writes: it waits to be killed

    model = Writing(Path(asked))
    database = Database.open(url)
    rag = Rag(
        DocumentRepository(database),
        DocumentIndex(Path(index)),
        record_call=record,
        embed_for=lambda project_id, origin: model,
        config=RagConfig(passage_tokens=16),
    )
    try:
        await rag.ingest("default", "shelf", Path(folder), progress=note)
    finally:
        rag.close()
        database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], int(sys.argv[5]) if len(sys.argv) > 5 else 0))
