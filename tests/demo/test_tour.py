"""The tour, as a stranger takes it: one command on an empty home, over a folder of one's own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.rag.pages import pdf

PAGE = """<!doctype html><title>Moorings</title><main><h1>Moorings</h1>
<p>A mooring buoy is inspected by a diver every spring before the season begins.</p></main>"""


def test_the_tour_reads_a_folder_of_ones_own_and_every_page_that_it_links_shows_the_thing() -> None:
    with tempfile.TemporaryDirectory(prefix="mooring-tour-") as folder:
        papers = Path(folder, "papers")
        papers.mkdir()
        (papers / "moorings.html").write_text(PAGE)
        (papers / "pier.pdf").write_bytes(pdf([(12, "The harbour master keeps the spare key behind the chart table.")]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
        done = subprocess.run(
            [sys.executable, "-m", "mooring", "demo", "--once", "--docs", str(papers)],
            env={**environment, "MOORING_HOME": f"{folder}/home"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) <= 25
        assert any(line.startswith("documents: 2 files of papers/") for line in lines)
        assert lines[-1] == "pages: each of these 8 things has one, opened just now; /ui/tour links them all"
