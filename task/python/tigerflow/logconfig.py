"""The logger of task modules: lines of time, level and message on standard error.

It has the calls of loguru's logger that task modules use. Messages are formatted with str.format, and only when arguments
are given: ``logger.info("{} of {}", done, total)``. Levels below INFO are not shown.
"""

import contextlib
import functools
import sys
import time

LEVELS = {
    "TRACE": 5,
    "DEBUG": 10,
    "INFO": 20,
    "SUCCESS": 25,
    "INIT": 25,
    "METRICS": 25,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
}


class Logger:
    """Writes messages to its sinks, at first to standard error alone."""

    def __init__(self, sinks=None, exception=None, lazy=False):
        # {id: (sink, least level)}; None stands for standard error, which user code may replace
        self._sinks = {0: (None, LEVELS["INFO"])} if sinks is None else sinks
        self._exception = exception
        self._lazy = lazy

    def log(self, level, message, *args, **kwargs):
        """Writes message at a level given by name or number; names of the caller's own making count as INFO."""
        number = LEVELS.get(level, LEVELS["INFO"]) if isinstance(level, str) else level
        sinks = [sink for sink, least in list(self._sinks.values()) if number >= least]
        if not sinks:
            return
        text = str(message)
        if self._lazy:
            args = [value() for value in args]
            kwargs = {name: value() for name, value in kwargs.items()}
        if args or kwargs:
            text = text.format(*args, **kwargs)
        lines = f"{time.strftime('%Y-%m-%d %H:%M:%S')} | {_name(level):<8} | {text}\n" + _trace(self._exception)
        for sink in sinks:
            _write(sink, lines)

    def trace(self, message, *args, **kwargs):
        self.log("TRACE", message, *args, **kwargs)

    def debug(self, message, *args, **kwargs):
        self.log("DEBUG", message, *args, **kwargs)

    def info(self, message, *args, **kwargs):
        self.log("INFO", message, *args, **kwargs)

    def success(self, message, *args, **kwargs):
        self.log("SUCCESS", message, *args, **kwargs)

    def warning(self, message, *args, **kwargs):
        self.log("WARNING", message, *args, **kwargs)

    def error(self, message, *args, **kwargs):
        self.log("ERROR", message, *args, **kwargs)

    def critical(self, message, *args, **kwargs):
        self.log("CRITICAL", message, *args, **kwargs)

    def exception(self, message, *args, **kwargs):
        """Writes message at level ERROR, followed by the traceback of the exception in hand."""
        self.opt(exception=True).log("ERROR", message, *args, **kwargs)

    def opt(self, *, exception=None, lazy=False, **ignored):
        """Returns a logger that adds the traceback of an exception, or of the one in hand (True).

        A lazy one is given functions for its arguments, and calls them for a message that is shown.
        """
        return Logger(self._sinks, exception, lazy)

    def bind(self, **ignored):
        """Returns the logger: its lines show no bound values."""
        return self

    @contextlib.contextmanager
    def contextualize(self, **ignored):
        """Does as bind does."""
        yield self

    @contextlib.contextmanager
    def _catching(self, kinds, level, reraise, message):
        try:
            yield
        except kinds as error:
            self.opt(exception=error).log(level, message)
            if reraise:
                raise

    def catch(self, exception=Exception, *, level="ERROR", reraise=False, message="An error has been caught", **ignored):
        """Logs exceptions; as a decorator, with parentheses or without, or in a with statement."""
        if callable(exception) and not isinstance(exception, type):
            return self.catch()(exception)
        return _Catch(functools.partial(self._catching, exception, level, reraise, message))

    def add(self, sink, *, level="DEBUG", **ignored):
        """Sends messages to a further sink: a path, something with write(), or a function. Returns its number."""
        number = max(self._sinks, default=-1) + 1
        least = LEVELS.get(level, LEVELS["INFO"]) if isinstance(level, str) else level
        self._sinks[number] = (sink, least)
        return number

    def remove(self, number=None):
        """Takes a sink away, or all. Raises ValueError if there is none of that number."""
        if number is None:
            self._sinks.clear()
        elif self._sinks.pop(number, None) is None:
            raise ValueError(f"There is no existing handler with id {number}")

    def level(self, name, no=None, **ignored):
        """Makes a level known by its name."""
        if no is not None:
            LEVELS[name] = no

    def enable(self, name):
        """Does nothing: all modules log."""

    disable = enable


class _Catch:
    """A decorator and a context manager at once, for plain functions and coroutines."""

    def __init__(self, catching):
        self._catching = catching

    def __enter__(self):
        self._in_hand = self._catching()
        return self._in_hand.__enter__()

    def __exit__(self, *error):
        return self._in_hand.__exit__(*error)

    def __call__(self, function):
        if function.__code__.co_flags & 0x80:  # async def

            @functools.wraps(function)
            async def wrapper(*args, **kwargs):
                with self._catching():
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                with self._catching():
                    return function(*args, **kwargs)

        return wrapper


def _name(level):
    return level if isinstance(level, str) else f"Level {level}"


def _trace(exception):
    if not exception:
        return ""
    import traceback

    if isinstance(exception, BaseException):
        return "".join(traceback.format_exception(type(exception), exception, exception.__traceback__))
    return traceback.format_exc()


def _write(sink, lines):
    # One write a message, or the lines of threads would mix.
    if sink is None:
        sink = sys.stderr
    if hasattr(sink, "write"):
        sink.write(lines)
    elif callable(sink):
        sink(lines)
    else:
        with open(sink, "a", encoding="utf-8") as file:
            file.write(lines)


logger = Logger()
