"""Finds the task class that an author's module means.

A module is named by ``path/to/x.py`` or ``pkg.mod``, each with an optional ``:Class`` behind it.
"""

import importlib
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location

from tigerflow import tasks
from tigerflow._errors import ModuleAbsent, TaskError

ADVICE = "subclass tigerflow.tasks.LocalTask (or LocalAsyncTask, SlurmTask)"
METHODS = ("setup", "run", "teardown")
CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of inspect, which is slow to import


def load(name):
    """Returns the task class that ``name`` means. Raises TaskError, or whatever the module raises."""
    module_name, class_name = split(name)
    tasks._cli_calls = []
    module = _import_file(module_name) if module_name.endswith(".py") else _import_dotted(module_name)
    cls = _named(module, name, class_name) if class_name else _chosen(module, name)
    _check(cls)
    return cls


def split(name):
    """Returns the module's path or dotted name, and the class or ""."""
    module, colon, cls = name.rpartition(":")
    return (module, cls) if colon and not name.endswith(".py") else (name, "")


def _import_file(file):
    """Imports a file as ``python file`` would run it: its folder first in sys.path, and never from stale bytecode."""
    file = os.path.abspath(file)
    if not os.path.isfile(file):
        raise ModuleAbsent(f"module {file} does not exist: correct handler.python.module, which is relative to the workspace")
    folder, base = os.path.split(file)
    name = base[: -len(".py")]
    if name in sys.modules:
        raise TaskError(f"module {file} has the name of a module that Python has loaded already: rename the file")
    _set_first_path(folder)
    sys.argv = [file]
    spec = spec_from_file_location(name, file)
    module = module_from_spec(spec)
    # Pickle, dataclasses and the resolving of annotations look a class's module up by its name.
    sys.modules[name] = module
    exec(spec.loader.source_to_code(spec.loader.get_data(file), file), module.__dict__)
    return module


def _import_dotted(name):
    sys.argv = [name]
    if "/" in name or not all(part.isidentifier() for part in name.split(".")):
        raise TaskError(f'module "{name}" is neither a path ending in .py nor a dotted name')
    if sys.path[:1] == [""]:
        sys.path[0] = os.getcwd()  # as `python -m` has it: user code may change the working directory
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ModuleAbsent(f"module {name} is not installed for this Python: install it, or correct handler.python.module") from None
        raise


def _set_first_path(folder):
    # `python -m` has put the working directory first, unless it was told not to.
    if getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder


def _named(module, name, class_name):
    """The class of that name, which may be nested, or made by a function and known by its cli() call alone."""
    called = (cls for _, cls in tasks._cli_calls if cls.__qualname__ == class_name)
    cls = next(called, None) or _attribute(module, class_name)
    if cls is None:
        raise TaskError(f"module {split(name)[0]} has no class {class_name}")
    if not _is_task(cls):
        raise TaskError(f"{class_name} is not a task class: {ADVICE}")
    return cls


def _attribute(module, path):
    value = module
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _chosen(module, name):
    """The class whose cli() the module called, else the only one that it defines or, defining none, imports."""
    for caller, cls in tasks._cli_calls:
        if module.__name__ in (caller, cls.__module__):
            return cls
    found = dict.fromkeys(value for value in vars(module).values() if _is_task(value))
    found = [cls for cls in found if cls.__module__ == module.__name__] or list(found)
    if not found:
        raise TaskError(f"module {name} has no task class: {ADVICE} and define run")
    concrete = [cls for cls in found if not cls.__abstractmethods__]
    if len(concrete) > 1:
        names = ", ".join(cls.__name__ for cls in concrete)
        raise TaskError(f"module {name} has several task classes ({names}): name one as {name}:{concrete[0].__name__}")
    return (concrete or found)[0]


def _is_task(value):
    return isinstance(value, type) and issubclass(value, tasks.Task) and value.__module__ != tasks.__name__


def _check(cls):
    if cls.__abstractmethods__:
        raise TaskError(f"{cls.__name__} does not define {', '.join(sorted(cls.__abstractmethods__))}")
    for method in METHODS:
        flags = getattr(getattr(getattr(cls, method), "__code__", None), "co_flags", 0)
        if flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            raise TaskError(f"{method} of {cls.__name__} is a generator, whose code never runs: take yield out of it")
        if flags & CO_COROUTINE and not issubclass(cls, tasks.LocalAsyncTask):
            raise TaskError(f'{method} of {cls.__name__} is async: subclass LocalAsyncTask, or write "def {method}"')


def bind(cls):
    """Returns what setup, run and teardown are called on: an instance if any of them needs one, else the class."""
    return cls() if any(_is_plain(cls, method) for method in METHODS) else cls


def _is_plain(cls, method):
    for base in cls.__mro__:
        if method in vars(base):
            return not isinstance(vars(base)[method], (staticmethod, classmethod))
    return False
