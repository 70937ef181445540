"""`mooring up`: starts serve and the workers, restarts what dies, ends them all when it ends.

A child ends with its supervisor because it reads a pipe that only the supervisor holds (`ending.py`): no signal is
needed, so kill -9 of the supervisor works too. SIGTERM drains in stages: the workers, which still need serve; then
serve; then what stands beside it; each stage with a deadline.
"""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESTART_FIRST_SECONDS = 0.1
RESTART_MOST_SECONDS = 10.0
STEADY_SECONDS = 2.0  # a child that lived so long starts again at once
DRAIN_SECONDS = 25.0  # a stage; serve's own deadline (twice [server] drain_seconds by default) is below it


@dataclass
class Child:
    """One supervised process: its command, and what became of it. Lower `stage`s are drained first."""

    name: str
    arguments: Sequence[str]
    stage: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    delay_seconds: float = RESTART_FIRST_SECONDS
    due_at: float = field(default=0.0)


class Supervisor:
    """Keeps its children running until `stop`.

    `log` gets one line per thing that an operator should know. `environment` is given to every child.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        environment: dict[str, str],
        log: Callable[[str], None],
        cwd: Path,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self.children = list(children)
        self._beside: dict[subprocess.Popen[bytes], float] = {}  # candidates, and who must have left by when
        self._environment = environment
        self._log = log
        self._cwd = cwd
        self._drain_seconds = drain_seconds
        self._is_stopping = False
        self._wake_read, self._wake_write = os.pipe()  # a signal handler may write to it at any moment
        os.set_blocking(self._wake_write, False)

    def start(self) -> None:
        for child in self.children:
            self._spawn(child)

    def run(self, tick: Callable[[], None] | None = None, *, every_seconds: float = 1.0) -> None:
        """Until `stop` (or a signal) says so; then drains. `tick` is called in between."""
        self.heed_signals()
        while not self._is_stopping:
            due = self._restart_dead()
            wait = due if tick is None else min(every_seconds, every_seconds if due is None else due)
            select.select([self._wake_read], [], [], wait)
            self._slept()
            if tick is not None and not self._is_stopping:
                tick()
        self.drain()

    def spawn_beside(self, child: Child) -> subprocess.Popen[bytes]:
        """Another process of the child's kind, which may take its place by `replace`, or is told to go by `dismiss`."""
        process = self._open(child)
        self._beside[process] = math.inf
        return process

    def replace(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        """The process is the child's from here on; the one before ends as at a drain, within the same deadline."""
        before = child.process
        del self._beside[process]
        child.process, child.started_at, child.due_at = process, time.monotonic(), 0.0
        if before is not None:
            self.dismiss(before)

    def dismiss(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, and SIGKILL once the deadline is over."""
        process.terminate()
        self._beside[process] = time.monotonic() + self._drain_seconds

    def _see_off(self) -> None:
        for process, leaves_by in list(self._beside.items()):
            if process.poll() is None and leaves_by <= time.monotonic():
                process.kill()
                process.wait()
            if process.poll() is not None and leaves_by < math.inf:
                del self._beside[process]
                _close(process)

    def heed_signals(self) -> None:
        """From here on SIGTERM, Ctrl-C and a closed terminal end `run`, even before it begins. In the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGCHLD, lambda *_: self._awake())

    def stop(self) -> None:
        """Ends `run`; safe from a signal handler and from other threads."""
        self._is_stopping = True
        self._awake()

    @contextlib.contextmanager
    def tended(self) -> Iterator[None]:
        """Restarts what dies while the caller does something else: for the tour and the batteries."""
        ended = threading.Event()

        def tend() -> None:
            while not ended.wait(0.02):
                self._restart_dead()

        thread = threading.Thread(target=tend, name="supervisor", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def drain(self) -> None:
        """SIGTERM, stage by stage; what has not ended by its deadline is killed."""
        self._is_stopping = True
        for process in self._beside:
            self.dismiss(process)
        for stage in sorted({child.stage for child in self.children}):
            ending = [child for child in self.children if child.stage == stage]
            for child in ending:
                if child.process is not None and child.process.poll() is None:
                    child.process.terminate()
            deadline = time.monotonic() + self._drain_seconds
            for child in ending:
                self._await_end(child, deadline)
            if stage == 0:
                self._await_others(deadline)

    def _await_others(self, deadline: float) -> None:
        for process in list(self._beside):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            self._beside[process] = 0.0
        self._see_off()

    def _awake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._wake_write, b".")

    def _slept(self) -> None:
        if select.select([self._wake_read], [], [], 0)[0]:
            os.read(self._wake_read, 4096)

    def _await_end(self, child: Child, deadline: float) -> None:
        if child.process is None:
            return
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._log(
                f"{child.name} did not end within {self._drain_seconds:.0f} s and was killed; its calls are uncertain."
            )
            child.process.kill()
            child.process.wait()
        _close(child.process)

    def _restart_dead(self) -> float | None:
        """Starts again what has died and is due; answers the seconds until the next is due."""
        self._see_off()
        now = time.monotonic()
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            if not child.due_at:
                self._schedule(child, now)
            if child.due_at <= now and not self._is_stopping:
                self._spawn(child)
        waiting = [child.due_at - now for child in self.children if child.due_at]
        return max(0.0, min(waiting)) if waiting else None

    def _schedule(self, child: Child, now: float) -> None:
        assert child.process is not None
        if now - child.started_at >= STEADY_SECONDS:
            child.delay_seconds = RESTART_FIRST_SECONDS
        code = child.process.returncode
        reason = f"signal {-code}" if code < 0 else f"exit {code}"
        self._log(f"{child.name} (pid {child.process.pid}) ended: {reason}; starting it again.")
        child.due_at = now + child.delay_seconds
        child.delay_seconds = min(child.delay_seconds * 2, RESTART_MOST_SECONDS)
        child.restarts += 1

    def _spawn(self, child: Child) -> None:
        if child.process is not None:
            _close(child.process)
        child.due_at = 0.0
        child.started_at = time.monotonic()
        child.process = self._open(child)

    def _open(self, child: Child) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # our own program with arguments that we made
            [sys.executable, "-P", "-m", "mooring", *child.arguments],
            stdin=subprocess.PIPE,
            env=self._environment,
            cwd=self._cwd,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which drains
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    """Our end of the pipe that a child reads to know that we live."""
    if process.stdin is not None:
        process.stdin.close()
