"""The loop of a LocalAsyncTask: up to ``concurrency`` files in flight in one event loop."""

import asyncio
import sys
from collections import deque
from time import perf_counter

from tigerflow import _protocol as protocol
from tigerflow._watch import Watch
from tigerflow.utils import SetupContext


def serve(task, context, reader, concurrency):
    """Runs the task until teardown. Returns the exit code of the handler."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    code = loop.run_until_complete(_Loop(task, context, reader, concurrency).serve())
    _end_tasks(loop)
    return code


class _Loop:
    def __init__(self, task, context, reader, concurrency):
        self._task = task
        self._context = context
        self._reader = reader
        self._free = concurrency
        self._waiting = deque()
        self._running = set()  # the event loop itself holds tasks by weak references only
        self._ended = None
        self._watch = None

    async def serve(self):
        protocol.narrate("setup")
        try:
            await _settle(self._task.setup(self._context))
        except BaseException as error:
            protocol.fail("setup", error)
            return 1
        SetupContext.freeze(self._context)
        protocol.narrate("ready")
        protocol.send(op="ready")
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._watch = Watch(loop, lambda: bool(self._running), _file_of(self._task))
        loop.add_reader(protocol.REQUESTS, self._read)
        await self._ended
        protocol.narrate("teardown")
        try:
            await _settle(self._task.teardown(self._context))
        except BaseException as error:
            protocol.fail("teardown", error)
        else:
            protocol.narrate("bye")
            protocol.send(op="bye")
        return 0

    def _read(self):
        try:
            for request in self._reader.read():
                if request["op"] == "run":
                    self._waiting.append(request)
                elif request["op"] == "teardown":
                    self._ended.set_result(None)
                else:
                    raise protocol.BadRequest(f"unknown op {request['op']!r}")
        except protocol.BadRequest as error:
            self._ended.set_exception(error)
        self._start()

    def _start(self):
        while self._free and self._waiting:
            self._free -= 1
            self._watch.wake()
            run = asyncio.get_running_loop().create_task(self._run(self._waiting.popleft()))
            self._running.add(run)
            run.add_done_callback(self._finished)

    def _finished(self, run):
        self._running.discard(run)
        self._free += 1
        self._start()

    async def _run(self, request):
        started = perf_counter()
        try:
            protocol.begin(request)
            running = self._task.run(self._context, protocol.path(request["input"]), protocol.path(request["output"]))
            if not hasattr(running, "__await__"):
                raise TypeError('run of a LocalAsyncTask must be async: write "async def run"')
            await running
        except BaseException as error:
            protocol.end(request, started, error)
        else:
            protocol.end(request, started)


def _end_tasks(loop):
    """Cancels what user code has left running in the loop and lets it come to its end, as asyncio.run does."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    for task in left:
        if not task.cancelled() and task.exception() is not None:
            told = {"message": "what was left running failed", "exception": task.exception(), "task": task}
            loop.call_exception_handler(told)
    loop.run_until_complete(loop.shutdown_asyncgens())


async def _settle(result):
    if hasattr(result, "__await__"):
        await result


def _file_of(task):
    cls = task if isinstance(task, type) else type(task)
    return getattr(sys.modules.get(cls.__module__), "__file__", None)
