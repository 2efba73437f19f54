"""Drives a real handler process over real pipes, as a worker does."""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import textwrap
import time
import unittest
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 120  # seconds until a wait counts as failed


class Handler:
    """One handler process, in a process group of its own, with its log and blame files in a folder.

    It runs without site-packages, unless options of the interpreter are given.
    """

    def __init__(self, module, folder, *, options=("-S",), root=PACKAGE_ROOT, env=None):
        self.folder = Path(folder)
        self.log_path = self.folder / "handler.log"
        self.blame_path = self.folder / "current"
        self.blame_path.touch()
        self.status = None
        self._replies = []
        self._rest = b""
        request_read, request_write = _pipe()
        reply_read, reply_write = _pipe()
        self.requests, self.replies = request_write, reply_read
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment.update(PYTHONPATH=str(root), TIGERFLOW_HANDLER="1", **(env or {}))
        null, log, blame = (
            _high(os.open(os.devnull, os.O_RDONLY)),
            _high(os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)),
            _high(os.open(self.blame_path, os.O_WRONLY)),
        )
        targets = zip((null, log, log, request_read, reply_write, blame), range(6))
        previous = os.getcwd()
        os.chdir(self.folder)
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *options, "-m", "tigerflow._handler", str(module)],
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for fd, target in targets],
                setpgroup=0,
            )
        finally:
            os.chdir(previous)
        for fd in (null, log, blame, request_read, reply_write):
            os.close(fd)

    def send(self, *messages):
        data = "".join(json.dumps(message) + "\n" for message in messages).encode()
        self.send_raw(data)

    def send_raw(self, data):
        while data:
            data = data[os.write(self.requests, data) :]

    def setup(self, params=None, concurrency=1):
        """Sends setup and returns the answer."""
        self.send({"op": "setup", "task": "Test", "params": params or {}, "concurrency": concurrency})
        return self.reply()

    def run(self, number, source, target, slot=0, mark=None):
        self.send(request(number, source, target, slot, mark))

    def reply(self):
        """Waits for the next reply. Fails with the log if the handler ends, or is silent, instead."""
        end = time.monotonic() + DEADLINE
        while not self._replies:
            ready, _, _ = select.select([self.replies], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no reply within {DEADLINE} s; log:\n{self.log()}")
            chunk = os.read(self.replies, 1 << 16)
            if not chunk:
                raise AssertionError(f"the handler ended with {self.wait()}; log:\n{self.log()}")
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._replies.extend(json.loads(line) for line in lines)
        return self._replies.pop(0)

    def teardown(self):
        """Sends teardown; returns the last reply and the exit status."""
        self.send({"op": "teardown"})
        return self.reply(), self.wait()

    def close_requests(self):
        if self.requests is not None:
            os.close(self.requests)
            self.requests = None

    def wait(self):
        """Waits for the end of the process; returns its exit code, negative for a signal."""
        if self.status is None:
            wait_for(self._ended, "the handler's end")
        return self.status

    def _ended(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        return pid != 0

    def log(self):
        return self.log_path.read_text(errors="backslashreplace")

    def blame(self):
        """The 128-byte slots of the blame file."""
        data = self.blame_path.read_bytes()
        return [data[i : i + 128] for i in range(0, len(data), 128)]

    def destroy(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.wait()
        self.close_requests()
        os.close(self.replies)


class HandlerTest(unittest.TestCase):
    """Base of the tests: a folder that is gone afterwards, and handlers that are."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tigerflow-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def module(self, text, name="task.py"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, module, **options):
        handler = Handler(module, self.folder, **options)
        self.addCleanup(handler.destroy)
        return handler

    def ready(self, module, params=None, concurrency=1, **options):
        """Starts a handler and waits until it is ready."""
        handler = self.start(module, **options)
        self.assertEqual(handler.setup(params, concurrency), {"op": "ready"}, handler.log())
        return handler

    def files(self, name, content=""):
        """Makes an input, and the empty output that a worker would make; returns both paths."""
        source, target = self.folder / f"{name}.in", self.folder / f".~tf_{name}.out"
        source.write_text(content)
        target.touch()
        return source, target

    def wait_for_log(self, handler, text):
        """Waits until the log holds text."""
        wait_for(lambda: text in handler.log(), f"{text!r} in the log")

    def run_file(self, handler, name, content="", number=1):
        """Runs one file; returns the reply and the output's text."""
        source, target = self.files(name, content)
        handler.run(number, source, target)
        return handler.reply(), target.read_text()


def request(number, source, target, slot=0, mark=None):
    """A run request."""
    return {
        "op": "run",
        "id": number,
        "input": spelled(source),
        "output": spelled(target),
        "slot": slot,
        "mark": mark if mark is not None else f"file {number}",
    }


def spelled(path):
    """A path as the protocol spells it."""
    raw = os.fsencode(path)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(raw).decode()}


def wait_for(condition, what):
    """Waits until condition() is true."""
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        select.select([], [], [], 0.002)


def _pipe():
    return tuple(_high(fd) for fd in os.pipe())


def _high(fd):
    """Moves a descriptor out of the way of 0 to 5."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return moved
