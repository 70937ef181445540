"""How a child learns that its supervisor is gone: its standard input is a pipe that only the supervisor holds."""

import os
import signal
import sys
import threading

ENVIRONMENT_FLAG = "MOORING_SUPERVISED"


def end_with_supervisor() -> None:
    """Sends this process SIGTERM when standard input closes, if a supervisor started it."""
    if os.environ.get(ENVIRONMENT_FLAG) != "1":
        return
    descriptor = sys.stdin.fileno()

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()
