"""Exceptions as the worker is told of them."""

import errno
import sys
import traceback

MESSAGE_LIMIT = 16 << 10
TRACEBACK_LIMIT = 64 << 10

_NETWORK = (errno.ESHUTDOWN, errno.ENOTCONN, errno.ECOMM, errno.EHOSTDOWN, errno.ETIMEDOUT)


class TaskError(Exception):
    """A mistake in how the task is written or configured. Its message says it all; no traceback goes with it.

    ``reason`` is the message without the name of the param that it is about.
    """

    def __init__(self, message, reason=""):
        super().__init__(message)
        self.reason = reason or message


class ModuleAbsent(TaskError):
    """There is no such module where the task runs."""


def describe(error):
    """Returns the fields type, message, traceback and, for errors of the operating system, errno."""
    message = _message(error)
    fields = {
        "type": type(error).__name__,
        "message": _head(message, MESSAGE_LIMIT),
        "traceback": "" if isinstance(error, TaskError) else _tail(_traceback(error, message), TRACEBACK_LIMIT),
    }
    number = _errno(error)
    if number is not None:
        fields["errno"] = number
    return fields


def _message(error):
    try:
        return str(error)
    except BaseException:
        return "<exception str() failed>"


def _traceback(error, message):
    try:
        return "".join(traceback.format_exception(type(error), error, _user_frames(error.__traceback__)))
    except BaseException:
        return f"{type(error).__name__}: {message}\n"


def _user_frames(tb):
    """Drops the frames of the handler and of the import machinery above the first one of user code."""
    while tb is not None and _is_ours(tb.tb_frame.f_globals):
        tb = tb.tb_next
    return tb


def _is_ours(namespace):
    name = namespace.get("__name__") or ""
    return namespace.get("__package__") == "tigerflow" or name.split(".")[0] in ("importlib", "_frozen_importlib")


def _errno(error):
    """Returns error.errno if it is a number of the operating system.

    Name look-ups and TLS raise OSErrors with numbers of their own: ssl.SSL_ERROR_SYSCALL would pass for EIO. Sockets share
    some with storage whose server is out of reach, which name a file.
    """
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    if type(number) is not int or number <= 0:
        return None
    if number in _NETWORK and error.filename is None:
        return None
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLError):
        return None
    return number


def _head(text, limit):
    return _safe(text[:limit])[:limit].decode(errors="ignore")


def _tail(text, limit):
    return _safe(text[-limit:])[-limit:].decode(errors="ignore")


def _safe(text):
    return text.encode("utf-8", "backslashreplace")
