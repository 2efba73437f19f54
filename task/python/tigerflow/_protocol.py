"""The handler's end of the protocol: requests in, replies out, and the blame file.

Messages are JSON objects, one a line. The worker has opened the three descriptors before it started the handler.
"""

import json
import os
import sys
from binascii import a2b_base64
from pathlib import Path
from time import perf_counter

from tigerflow._errors import describe

REQUESTS, REPLIES, BLAME = 3, 4, 5
SLOT_SIZE = 128
FREE_SLOT = b" " * (SLOT_SIZE - 1) + b"\n"

NARRATION_MARK = "TIGERFLOW_NARRATE"
NARRATION = b"\x1e"  # begins a line of narration, as in RFC 7464

_raw_decode = json.JSONDecoder().raw_decode
_utf8_paths = sys.getfilesystemencoding() == "utf-8"
_forked = False
_narrating = False


class BadRequest(Exception):
    """The worker sent what the protocol does not know."""


class Reader:
    """Splits what comes from the worker into requests."""

    def __init__(self):
        self._rest = b""

    def read(self):
        """Waits for input and returns the requests that it completes, maybe none. Ends the process at end of file."""
        chunk = os.read(REQUESTS, 1 << 16)
        if not chunk:
            os._exit(1)  # the worker is gone: nothing may be written in its name any more
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        return decode_all(lines)


def decode_all(lines):
    """Returns the requests in lines. Quick files come many at a time: one call for all of them is half the work."""
    try:
        requests = json.loads(b"[" + b",".join(lines) + b"]")
        if len(requests) == len(lines) and all(type(r) is dict and "op" in r for r in requests):
            return requests
    except (ValueError, RecursionError):
        pass
    return [decode(line) for line in lines]  # finds the one that is none


def decode(line):
    """Returns the request in a line: a dict with "op"."""
    try:
        text = line.decode()
        request, end = _raw_decode(text)
        if end == len(text) and type(request) is dict and "op" in request:
            return request
    except (ValueError, RecursionError):
        pass
    raise BadRequest(f"not a request: {line[:200]!r}")


def path(name):
    """Returns the Path of a file name as the protocol spells it: a string, or {"b64": ...} for bytes not UTF-8."""
    if type(name) is not str:
        return Path(os.fsdecode(a2b_base64(name["b64"])))
    return Path(name) if _utf8_paths else Path(os.fsdecode(name.encode()))


def begin(request):
    """Says in the request's slot of the blame file that its file is in hand."""
    mark = request["mark"].encode("utf-8", "replace")[: SLOT_SIZE - 1]
    os.pwrite(BLAME, mark.ljust(SLOT_SIZE - 1) + b"\n", request["slot"] * SLOT_SIZE)
    if _narrating:
        narrate("begin", input=request["input"])


def end(request, started, error=None, next=None):
    """Frees the slot and answers a run request: done, or what user code raised. ``started`` is by perf_counter.

    The slot is left as it is for the next request, if that one begins now and marks the same slot.
    """
    seconds = perf_counter() - started
    if _forked:
        end_child(error)
    if next is None or next.get("slot") != request["slot"]:
        try:
            os.pwrite(BLAME, FREE_SLOT, request["slot"] * SLOT_SIZE)
        except OSError:
            pass  # the slot's next file overwrites the mark, and a failing disk is for the worker to find
    if _narrating:
        narrate("end", input=request["input"], ok=error is None)
    if error is None:
        write(b'{"op":"done","id":%d,"seconds":%.6f}\n' % (request["id"], seconds))
    else:
        send(op="error", id=request["id"], seconds=round(seconds, 6), **describe(error))


def fail(stage, error):
    """Reports that a stage other than run failed."""
    if _forked:
        end_child(error)
    send(op="failed", stage=stage, **describe(error))


def send(**message):
    """Sends a message."""
    write(json.dumps(message).encode() + b"\n")


def write(data):
    """Sends encoded messages. Ends the process if the worker is gone."""
    if _forked:
        end_child(None)
    try:
        while data:
            data = data[os.write(REPLIES, data) :]
    except BrokenPipeError:
        os._exit(1)


def start_narration():
    """Begins to narrate if the environment asks for it, and takes that out of it."""
    global _narrating
    _narrating = os.environ.pop(NARRATION_MARK, None) == "1"


def narrate(op, **fields):
    """Says in the log what happens, in order with what user code prints, if narration is asked for."""
    if not _narrating or _forked:
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass  # closed or replaced by user code
    try:
        # One write, which a pipe keeps whole.
        os.write(2, NARRATION + json.dumps({"op": op, **fields}, ensure_ascii=False).encode() + b"\n")
    except OSError:
        pass  # the log is full or gone: no reason to fail a file


def release_in_child():
    """Lets go of the worker in a child that user code forks: only the handler itself may speak to it."""
    global _forked
    _forked = True
    for fd in (REQUESTS, REPLIES, BLAME):
        try:
            os.close(fd)
        except OSError:
            pass


def in_child():
    """Says whether this process is a child that user code has forked."""
    return _forked


def end_child(error):
    """Ends a forked child that came back from user code as Python would end it, instead of running files twice."""
    if error is None or isinstance(error, SystemExit):
        raise error or SystemExit(0)
    sys.excepthook(type(error), error, error.__traceback__)
    raise SystemExit(1)
