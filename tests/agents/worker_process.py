"""A worker as a process of its own, to be killed: `python worker_process.py`, told by MOORING_HOME and MOORING_CONFIG."""

import asyncio

from mooring.config import load
from mooring.processes.work import work
from mooring.storage import Home

if __name__ == "__main__":
    asyncio.run(work(load(), Home.locate()))
