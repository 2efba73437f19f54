"""The process that runs the functions which choose a pipeline's files: ``python3 -m tigerflow._staging INPUT_DIR OUTPUT_DIR``.

Requests come and replies go as JSON objects, one a line, on descriptors of their own. It ends with the one who started it.
"""

import importlib
import json
import os
import queue
import signal
import sys
import threading
from base64 import b64encode
from pathlib import Path

from tigerflow import _protocol as protocol
from tigerflow._errors import TaskError, describe
from tigerflow.staging import StagingContext

REQUESTS, REPLIES = 3, 4


def main(argv):
    """Answers requests until it is killed. Returns the exit code, 2 if it was started by hand."""
    if len(argv) != 3:
        print("tigerflow._staging is started by what stages files", file=sys.stderr)
        return 2
    for fd in (REQUESTS, REPLIES):
        os.set_inheritable(fd, False)
    os.register_at_fork(after_in_child=release)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    requests = queue.SimpleQueue()
    threading.Thread(target=receive, args=(requests,), daemon=True).start()
    folders = [Path(folder) for folder in argv[1:]]
    while True:
        send(answer(requests.get(), *folders))


def receive(requests):
    """Passes requests on, and ends the process, whatever it is at, when no more can come."""
    with open(REQUESTS, "rb", closefd=False) as lines:
        for line in lines:
            requests.put(json.loads(line))
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def release():
    """Lets go of the pipes in a child that user code forks."""
    for fd in (REQUESTS, REPLIES):
        try:
            os.close(fd)
        except OSError:
            pass


def send(reply):
    data = json.dumps(reply).encode() + b"\n"
    while data:
        data = data[os.write(REPLIES, data) :]


def answer(request, input_dir, output_dir):
    """Calls a function and returns the reply: the names that it chose, or what it raised."""
    try:
        candidates = [input_dir / protocol.path(name) for name in request["candidates"]]
        context = StagingContext(request["staged"], request["completed"], request["failed"], input_dir, output_dir)
        chosen = find(request["function"])(candidates, context)
        return {"names": [spell(path, input_dir) for path in chosen or ()]}
    except BaseException as error:
        return describe(error)


def find(reference):
    """Returns the function MODULE:FUNCTION. Modules are looked for in the working directory first."""
    name, _, attribute = reference.rpartition(":")
    function = getattr(importlib.import_module(name), attribute)
    if not callable(function):
        raise TaskError(f"{attribute} of {name} is not a function")
    return function


def spell(path, folder):
    """Returns the name of a file in the folder; bytes that are not UTF-8 go as {"b64": ...}."""
    name, prefix = os.fsencode(os.fspath(path)), os.path.join(os.fsencode(folder), b"")
    if name.startswith(prefix):
        name = name[len(prefix) :]
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"b64": b64encode(name).decode()}


def start():
    """Is the process, from its command line to its end."""
    sys.exit(main(sys.argv))


if __name__ == "__main__":
    start()
