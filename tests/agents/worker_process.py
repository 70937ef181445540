"""A worker as a process of its own, to be killed; MOORING_HOME and MOORING_CONFIG tell it where it works."""

import asyncio

from mooring.config import load
from mooring.processes.work import work
from mooring.storage import Home

if __name__ == "__main__":
    asyncio.run(work(load(), Home.locate()))
