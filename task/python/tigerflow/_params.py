"""A task's params: declared by its inner class Params, given by the user as JSON, found on the context."""

import os
from typing import Annotated, ClassVar, get_args, get_origin, get_type_hints

from tigerflow import tasks
from tigerflow._convert import as_spelled, convert, expected, shown
from tigerflow._errors import TaskError
from tigerflow.utils import SetupContext

# The options that every task has on its command line, and those of its kind.
RESERVED = {"input_dir", "input_ext", "output_dir", "output_ext", "task_name"}
RESERVED_OF_KIND = {
    tasks.LocalTask: set(),
    tasks.LocalAsyncTask: {"concurrency_limit"},
    tasks.SlurmTask: {
        "max_workers", "cpus", "memory", "time", "gpus",
        "sbatch_option", "sbatch_options", "setup_command", "setup_commands",
    },
}  # fmt: skip


class Param:
    """One declared param: its annotation, and what typer.Option or typer.Argument says of it, if anything."""

    def __init__(self, name, annotation, default):
        self.name = name
        self.kind = annotation
        self.option = None
        self.default = default
        self.flags = ()
        if get_origin(annotation) is Annotated:
            self.kind, *notes = get_args(annotation)
            self.option = next((note for note in notes if _is_option(note)), None)
            # In Annotated the place of the default is that of the first flag.
            self.flags = (getattr(self.option, "default", None), *(self.setting("param_decls") or ()))
        if _is_option(default):  # the form before Annotated: x: int = typer.Option(3)
            self.option = default
            self.default = default.default
            self.flags = self.setting("param_decls") or ()
        self.flags = [flag for flag in self.flags if isinstance(flag, str)]

    @property
    def required(self):
        """Whether the user must give it."""
        return self.default is ... and self.setting("default_factory") is None

    def value(self, given):
        """Returns the param's value for what the user gave. Raises TaskError."""
        if self.name in given and (given[self.name] is not None or self.default is not None):
            return self._checked(self._convert(given[self.name]))
        variable = self.variable()
        if variable is not None:
            return self._checked(self._convert(os.environ[variable]))
        if self.default is not ...:
            return self._convert_default(self.default)
        factory = self.setting("default_factory")
        if factory is None:
            raise TaskError(f'param "{self.name}" is required: set it under params')
        return factory()

    def setting(self, name):
        """Returns what typer.Option says under a name, or None."""
        return getattr(self.option, name, None)

    def variable(self):
        """Returns the name of the environment variable that sets the param, if one does."""
        names = self.setting("envvar") or ()
        return next((name for name in ([names] if isinstance(names, str) else names) if name in os.environ), None)

    def _convert(self, value):
        parser = self.setting("parser") or self.setting("click_type")
        if self.setting("case_sensitive") is False:
            value = as_spelled(value, self.kind)
        try:
            return parser(value) if parser is not None and isinstance(value, str) else convert(value, self.kind)
        except (ValueError, TypeError, ArithmeticError) as error:
            wanted = f"must be {expected(self.kind)}" if parser is None else f"is not accepted ({error})"
            raise self._wrong(f"{wanted}: it is {shown(value)}") from None

    def _convert_default(self, value):
        # None is a usual default whatever the annotation says, and a default that does not fit is the author's will.
        try:
            return value if value is None else convert(value, self.kind)
        except (ValueError, TypeError, ArithmeticError):
            return value

    def _checked(self, value):
        value = self._within_bounds(value)
        if isinstance(value, os.PathLike):
            value = self._existing(value)
        return self._called_back(value)

    def _within_bounds(self, value):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        low, high = self.setting("min"), self.setting("max")
        bounded = value if low is None else max(value, low)
        bounded = bounded if high is None else min(bounded, high)
        if bounded != value and not self.setting("clamp"):
            limit = "at least" if bounded > value else "at most"
            raise self._wrong(f"must be {limit} {bounded}: it is {value}")
        return bounded

    def _existing(self, path):
        """What typer.Option(exists=True, file_okay=..., dir_okay=..., resolve_path=True) asks of a path."""
        if self.setting("resolve_path"):
            path = type(path)(os.path.realpath(path))
        files, folders = self.setting("file_okay") is not False, self.setting("dir_okay") is not False
        if not os.path.exists(path):
            if self.setting("exists"):
                raise self._wrong(f"must be {_a_path(files, folders)} that exists: it is {shown(str(path))}")
        elif not (folders if os.path.isdir(path) else files):
            raise self._wrong(f"must be {_a_path(files, folders)}: it is {shown(str(path))}")
        return path

    def _called_back(self, value):
        callback = self.setting("callback")
        code = getattr(callback, "__code__", None)
        if code is None or code.co_argcount != 1:
            return value  # callbacks that ask for more than the value are about click's command line
        try:
            return callback(value)
        except Exception as error:
            # typer.BadParameter, of whichever typer this is
            if type(error).__name__ != "BadParameter" and not isinstance(error, ValueError):
                raise
            raise self._wrong(f"is not accepted ({getattr(error, 'message', error)}): it is {shown(value)}") from None

    def _wrong(self, reason):
        return TaskError(f'param "{self.name}" {reason}', reason)


def declared(cls):
    """Returns the params of a task class in order of declaration, those of inherited Params first."""
    holder = getattr(cls, "Params", None)
    if holder is None:
        return []
    try:
        hints = get_type_hints(holder, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise TaskError(f"an annotation in Params of {cls.__name__} cannot be resolved: {error}") from None
    params = [
        Param(name, hint, getattr(holder, name, ...))
        for name, hint in hints.items()
        if hint is not ClassVar and get_origin(hint) is not ClassVar
    ]
    _check_names(cls, params)
    return params


def context(cls, given):
    """Returns a context with every declared param of cls, set to what ``given`` says or to its default.

    Raises TaskError, naming the param, for unknown, missing and wrong ones.
    """
    params = declared(cls)
    known = [param.name for param in params]
    for name in given:
        if name not in known:
            known_text = f"known are {', '.join(known)}" if known else f"{cls.__name__} has none"
            raise TaskError(f'unknown param "{name}": {known_text}')
    return SetupContext(**{param.name: param.value(given) for param in params})


def _check_names(cls, params):
    reserved = RESERVED.union(*(names for kind, names in RESERVED_OF_KIND.items() if issubclass(cls, kind)))
    for param in params:
        if param.name in reserved:
            raise TaskError(
                f'param "{param.name}" of {cls.__name__} has a reserved name: '
                f"rename it, and to none of {', '.join(sorted(reserved))}"
            )


def _a_path(files, folders):
    return "a path" if files and folders else "a folder" if folders else "a file"


def _is_option(value):
    # By name, because typer may be the real one or the stand-in, and neither is imported here.
    return type(value).__name__ in ("OptionInfo", "ArgumentInfo")
