"""The tasks that this Python knows: ``python -m tigerflow._registry list`` or ``info NAME`` prints them as JSON.

Tasks come with the package (tigerflow.library) or are entry points of the group ``tigerflow.tasks``, each a module or
``module:Class``. A list imports none of them; info imports one, and whatever that does, the answer is JSON.
"""

import ast
import json
import os
import pkgutil
import sys
from importlib import metadata
from importlib.machinery import PathFinder

import tigerflow
from tigerflow import library

GROUP = "tigerflow.tasks"
USAGE = "usage: python -m tigerflow._registry list | info NAME"


def main(argv):
    """Prints the answer. Returns the exit code: 1 if there is no such task, 2 for a wrong usage."""
    out = _divert_prints()
    if argv == ["list"]:
        answer = tasks()
    elif len(argv) == 2 and argv[0] == "info":
        answer = info(argv[1])
    else:
        print(USAGE, file=sys.stderr)
        return 2
    with os.fdopen(out, "w", encoding="utf-8", errors="backslashreplace") as stream:
        json.dump(answer, stream, ensure_ascii=False, indent=2)
        stream.write("\n")
    return 1 if answer == _unknown(argv[-1]) else 0


def tasks():
    """Returns all tasks, built-in ones first, each kind in order of its names.

    A task is a dict with name, source ("built-in" or "installed"), module, class ("" unless the entry point names it),
    package, version, description (the first line of the module's docstring, or "") and error (None, or why the module
    cannot be found).
    """
    return [*sorted(_builtin(), key=_name), *sorted(_installed(), key=_name)]


def info(name):
    """Returns one task, a built-in one if there are two, with params and the whole description.

    A param is a dict with name, flag, type, default (as text; None without one), help and required.
    """
    task = next((task for task in tasks() if task["name"] == name), None)
    if task is None:
        return _unknown(name)
    task["params"] = []
    if task["error"] is not None:
        return task
    try:
        _inspect(task)
    except BaseException as error:
        # Also exits and interrupts: authors' modules may do anything at import.
        task["error"] = " ".join(f"{type(error).__name__}: {error}".split())
    return task


def _unknown(name):
    return {"error": f"no task {name}: `tigerflow tasks list` shows those that are there"}


def _name(task):
    return task["name"]


def _divert_prints():
    """Sends what modules print to standard error; returns a descriptor of the true standard output."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def _builtin():
    for module in pkgutil.iter_modules(library.__path__):
        if not module.name.startswith("_"):
            value = f"{library.__name__}.{module.name}"
            yield _task(module.name, "built-in", value, "tigerflow", tigerflow.__version__)


def _installed():
    seen = set()
    for distribution in metadata.distributions():
        try:
            package, version = distribution.metadata["Name"] or "", distribution.version or ""
            points = [point for point in distribution.entry_points if point.group == GROUP]
        except Exception:
            continue  # what an interrupted pip leaves behind
        # The first on the path is the one that is imported.
        if package and package.lower() in seen:
            continue
        seen.add(package.lower())
        for point in points:
            yield _task(point.name, "installed", point.value, package, version)


def _task(name, source, value, package, version):
    module, _, cls = value.partition("[")[0].strip().partition(":")
    task = {
        "name": name,
        "source": source,
        "module": module.strip(),
        "class": cls.strip(),
        "package": package,
        "version": version,
        "description": "",
        "error": None,
    }
    try:
        text = _docstring(task["module"])
    except (OSError, SyntaxError, ValueError, ImportError) as error:
        task["error"] = " ".join(f"{type(error).__name__}: {error}".split())
    else:
        task["description"] = text.split("\n", 1)[0].strip()
    return task


def _docstring(name):
    """Returns the docstring of a module by its dotted name, and imports nothing for that."""
    path = None
    for i, part in enumerate(name.split(".")):
        spec = PathFinder.find_spec(part if path is None else ".".join(name.split(".")[: i + 1]), path)
        if spec is None:
            return "" if _has_own_finder(name) else _absent(name)
        path = spec.submodule_search_locations
        if path is None:
            path = []
    get_source = getattr(spec.loader, "get_source", None)
    source = get_source(spec.name) if get_source is not None else None
    return (ast.get_docstring(ast.parse(source)) if source else None) or ""


def _has_own_finder(name):
    """Whether another finder than Python's knows the module's package, as those of editable installations do."""
    top = name.split(".")[0]
    finders = [finder for finder in sys.meta_path if finder is not PathFinder and hasattr(finder, "find_spec")]
    return any(finder.find_spec(top, None) is not None for finder in finders)


def _absent(name):
    raise ModuleNotFoundError(f"No module named {name!r}")


def _inspect(task):
    """Fills in what only the module itself can tell."""
    from tigerflow import _load

    cls = _load.load(task["module"] + (f":{task['class']}" if task["class"] else ""))
    task["class"] = cls.__qualname__
    task["description"] = (sys.modules[task["module"]].__doc__ or "").strip()
    task["params"] = _params(cls)


def _params(cls):
    from tigerflow import _options

    return [
        {
            "name": option.name,
            "flag": option.flags[0],
            "type": option.metavar or "BOOLEAN",
            "default": _default(option.param),
            "help": option.help,
            "required": option.required,
        }
        for option in _options.options(cls)
        if option.param is not None
    ]


def _default(param):
    if param.default is ...:
        return None
    return str(getattr(param.default, "value", param.default))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # without what a module may have put in the way of the exit
