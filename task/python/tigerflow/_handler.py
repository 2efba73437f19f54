"""The handler process: ``python3 -m tigerflow._handler MODULE``, started by a worker to run an author's task."""

import atexit
import faulthandler
import gc
import io
import os
import signal
import sys
from itertools import zip_longest
from time import perf_counter

import tigerflow
from tigerflow import _load, tasks
from tigerflow import _protocol as protocol
from tigerflow.utils import SetupContext

ENVIRONMENT_MARK = "TIGERFLOW_HANDLER"
IGNORED = (signal.SIGINT, signal.SIGTERM)
IOBase = io.IOBase.__base__  # which answers issubclass quicker: it is no abstract class


def main(argv):
    """Serves the worker. Returns the exit code of the process; 2 if no worker has started it."""
    if os.environ.pop(ENVIRONMENT_MARK, None) != "1" or len(argv) != 2:
        print("tigerflow._handler is started by a worker: use `tigerflow run FILE`", file=sys.stderr)
        return 2
    isolate()
    protocol.start_narration()
    try:
        return serve(argv[1])
    except protocol.BadRequest as error:
        print(f"handler: {error}", file=sys.stderr)
        return 1


def isolate():
    """Sets the process up so that user code and its children cannot disturb the talk with the worker."""
    for fd in (protocol.REQUESTS, protocol.REPLIES, protocol.BLAME):
        os.set_inheritable(fd, False)
    os.register_at_fork(after_in_child=protocol.release_in_child)
    ignore_signals()
    faulthandler.enable(file=2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def ignore_signals():
    """Ignores SIGINT and SIGTERM, which reach the whole process group: the worker ends its handler by the protocol.

    A handler function instead of SIG_IGN, because exec would hand the latter down to the children of user code.
    """
    for number in IGNORED:
        signal.signal(number, ignore)
        signal.siginterrupt(number, False)
    os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=restore_signals)


def ignore(number, frame):
    """A signal handler that does nothing."""


def hold_signals():
    """Keeps a signal sent to a newborn child until the child has dispositions of its own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)


def release_signals():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)


def restore_signals():
    """Gives a forked child the dispositions that Python starts with, unless user code has set its own."""
    for number, usual in zip(IGNORED, (signal.default_int_handler, signal.SIG_DFL)):
        if signal.getsignal(number) is ignore:
            signal.signal(number, usual)
    release_signals()


def serve(module):
    """Loads the task, then runs it until the worker says teardown. Returns the exit code."""
    reader = protocol.Reader()
    setup = first_request(reader)
    stage = "load"
    try:
        cls = _load.load(module)
        tell_of_namesakes(module)
        task = _load.bind(cls)
        stage = "params"
        context = make_context(cls, setup.get("params"))
    except BaseException as error:
        protocol.fail(stage, error)
        return 1
    if not issubclass(cls, tasks.LocalAsyncTask):
        return run_in_order(task, context, reader)
    from tigerflow import _async  # asyncio is slow to import

    return _async.serve(task, context, reader, setup.get("concurrency", 1))


def tell_of_namesakes(module):
    """Says which of the author's files have the name of this package and are therefore not imported."""
    for folder in dict.fromkeys([os.path.dirname(os.path.abspath(_load.split(module)[0])), os.getcwd()]):
        for name in ("tigerflow.py", "tigerflow/__init__.py"):
            path = os.path.join(folder, name)
            if os.path.exists(path) and os.path.realpath(path) != os.path.realpath(tigerflow.__file__):
                from tigerflow.logconfig import logger

                logger.warning("{} is not what modules import as tigerflow: give it another name", path)


def first_request(reader):
    """Waits for the setup request. The worker sends no other before it has heard of ready."""
    requests = []
    while not requests:
        requests = reader.read()
    if requests[0]["op"] != "setup" or len(requests) > 1:
        raise protocol.BadRequest("the first request must be setup, and alone")
    return requests[0]


def make_context(cls, given):
    """Returns the context, with the params on it."""
    if not given and not hasattr(cls, "Params"):
        return SetupContext()
    from tigerflow import _params  # so is typing, which most modules without params do not need

    return _params.context(cls, given or {})


def run_in_order(task, context, reader):
    """Runs files one at a time, as they were requested, until teardown. Returns the exit code."""
    protocol.narrate("setup")
    try:
        task.setup(context)
    except BaseException as error:
        protocol.fail("setup", error)
        return 1
    SetupContext.freeze(context)
    protocol.narrate("ready")
    protocol.send(op="ready")
    while True:
        requests = reader.read()
        for request, next in zip_longest(requests, requests[1:]):
            if request["op"] == "run":
                run_file(task, context, request, next)
            elif request["op"] == "teardown":
                return tear_down(task, context)
            else:
                raise protocol.BadRequest(f"unknown op {request['op']!r}")


def run_file(task, context, request, next):
    """Runs user code on one file and answers the request, whatever user code raises. ``next`` is what comes then, if known."""
    started = perf_counter()
    try:
        protocol.begin(request)
        returned = task.run(context, protocol.path(request["input"]), protocol.path(request["output"]))
        if returned is not None:
            check_returned(returned)
    except BaseException as error:
        protocol.end(request, started, error, next)
    else:
        protocol.end(request, started, next=next)


def check_returned(value):
    """Refuses what run returns in place of running, as an async method does behind a decorator that is not."""
    kind = type(value).__name__
    if kind == "coroutine":
        value.close()
    if kind in ("coroutine", "generator", "async_generator"):
        raise TypeError(f"run returned a {kind} and did nothing: write it without async and yield, or subclass LocalAsyncTask")


def tear_down(task, context):
    """Ends the task in order; that teardown raised is told, but is no failure of the process."""
    protocol.narrate("teardown")
    try:
        task.teardown(context)
    except BaseException as error:
        protocol.fail("teardown", error)
    else:
        protocol.narrate("bye")
        protocol.send(op="bye")
    return 0


def leave(code):
    """Ends the process after the exit functions, without waiting for threads that user code has left behind."""
    # Pools end before the exit functions, as they do in Python: multiprocessing's waits for their processes.
    pools = getattr(sys.modules.get("concurrent.futures.process"), "_python_exit", lambda: None)
    for last in (pools, atexit._run_exitfuncs, lambda: sys.stdout.flush(), lambda: sys.stderr.flush(), write_out):
        try:
            last()
        except BaseException:
            pass  # closed or replaced by user code
    os._exit(code)


def write_out():
    """Writes what is in the buffers of files that user code has left open, as Python does at its own end."""
    # Each kind writes to the next one: text, compressors, buffers.
    texts, compressors, buffers = [], [], []
    for each in gc.get_objects():
        kind = type(each)
        if not issubclass(kind, IOBase):
            continue
        if issubclass(kind, io.TextIOBase):
            texts.append(each.flush)
        elif issubclass(kind, (io.BufferedWriter, io.BufferedRandom)):
            buffers.append(each.flush)
        elif issubclass(kind, io.BufferedIOBase) and kind.__module__ != IOBase.__module__:
            compressors.append(each.close)
    for write in texts + compressors + buffers:
        try:
            write()
        except BaseException:
            pass  # it was closed, or its disk is full


def start():
    """Is the process, from the worker's command line to its end."""
    try:
        code = main(sys.argv)
    except BaseException as error:  # of a signal handler, or of a task beside the files of an event loop
        if protocol.in_child():
            raise
        code = exit_code(error)
    leave(code)


def exit_code(error):
    """Tells of what ends the process as Python would, and returns the exit code."""
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    start()
