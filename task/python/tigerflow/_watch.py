"""Notices that user code blocks the event loop, so that no other file makes progress, and says so in the log."""

import sys
import threading
import time

from tigerflow.logconfig import logger

TICK = 1.0  # seconds between two looks
LIMIT = 5.0  # seconds without a turn of the loop that are worth a word
ADVICE = "await what waits, and give heavy work to asyncio.to_thread or to a SlurmTask"


class Watch:
    """Ticks in the event loop while there are files in flight; a thread looks whether the ticks come."""

    def __init__(self, loop, is_busy, file):
        self._loop = loop
        self._is_busy = is_busy
        self._file = file  # of the author's module
        self._due = None  # when the next tick is, by the monotonic clock; None: no file is in flight
        self._told = None  # the tick whose absence was told
        self._active = threading.Event()
        self._loop_thread = threading.get_ident()
        threading.Thread(target=self._look, name="tigerflow-watch", daemon=True).start()

    def wake(self):
        """Starts to tick, if need be: a file is in flight."""
        if self._due is None:
            self._schedule()
            self._active.set()

    def _schedule(self):
        self._due = time.monotonic() + TICK
        self._loop.call_later(TICK, self._tick)

    def _tick(self):
        late = time.monotonic() - self._due
        if late > LIMIT:
            logger.warning("The event loop was blocked for {:.1f} s: {}", late, ADVICE)
        if self._is_busy():
            self._schedule()
        else:
            self._active.clear()
            self._due = None

    def _look(self):
        while True:
            self._active.wait()
            time.sleep(TICK)
            due = self._due
            if due is not None and due != self._told and time.monotonic() - due > LIMIT:
                self._told = due
                where = self._where()
                late = time.monotonic() - due
                logger.warning("The event loop has been blocked for {:.1f} s{}: no other file makes progress", late, where)

    def _where(self):
        """The innermost line of the author's module that the loop's thread is at; else of any module."""
        frame = innermost = sys._current_frames().get(self._loop_thread)
        while frame is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        frame = frame or innermost
        if frame is None:
            return ""
        return f" by {frame.f_code.co_name}, {frame.f_code.co_filename}:{frame.f_lineno}"
