"""What ``cli()`` does where no worker is at work: the module is a program that runs its task.

Python reads the command line. The engine, the program ``tigerflow``, then takes the place of this process and starts
the module again under a worker. It is told what to run in JSON, on a descriptor that it inherits.
"""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from tigerflow import _command, _help, _options, tasks
from tigerflow._errors import TaskError

ENGINE_VARIABLE = "TIGERFLOW_BIN"
ENGINE = "tigerflow"
# What the specification calls the options of the kinds.
COMMON = {"input_dir": "inputDir", "input_ext": "inputExt", "output_dir": "outputDir", "output_ext": "outputExt"}
SLURM = {
    "max_workers": "maxWorkers",
    "cpus": "cpus",
    "memory": "memory",
    "time": "time",
    "gpus": "gpus",
    "sbatch_option": "sbatchOptions",
    "setup_command": "setupCommands",
}


def main(cls):
    """Runs the task as its command line says. Does not return, unless multiprocessing has imported the module again."""
    if _is_multiprocessing_child():
        return
    try:
        _hand_over(specification(cls, sys.argv[1:]))
    except (_command.UsageError, TaskError) as error:
        print(f"Error: {_as_line(error)}. Try '{program()} --help' for help.", file=sys.stderr)
        sys.exit(2)


def specification(cls, arguments):
    """Returns what the engine is to run; prints the help and exits instead if that is asked for.

    Raises _command.UsageError and TaskError.
    """
    options = _options.options(cls)
    given = _command.parse(options, arguments)
    if any(option.name == "help" and option.param is None for option in given):
        text = _help.render(program(), cls, options)
        sys.stdout.write(_help.in_encoding(text, sys.stdout.encoding))
        sys.exit(0)
    values = _command.values(options, given)
    params = {option.name for option in options if option.param is not None}
    spec = {
        "taskName": values.get("task_name", cls.__name__),
        "type": _kind(cls),
        **{ours: values[name] for name, ours in COMMON.items()},
        "handler": {"python": _handler(cls)},
        "params": {name: value for name, value in values.items() if name in params},
        "prog": program(),
    }
    if spec["type"] == "LocalAsync":
        spec["concurrency"] = values["concurrency_limit"]
    if spec["type"] == "Slurm":
        spec["slurm"] = {ours: values[name] for name, ours in SLURM.items() if name in values}
    return spec


def program():
    """Returns what the user called: ``hello.py``, or ``python -m package.module``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None or spec.name == "__main__":
        return os.path.basename(sys.argv[0]) or "python"
    name = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return f"python -m {name}"


def _kind(cls):
    if issubclass(cls, tasks.LocalAsyncTask):
        return "LocalAsync"
    return "Slurm" if issubclass(cls, tasks.SlurmTask) else "Local"


def _handler(cls):
    """Names the module, class and interpreter, such that a worker finds the class that cli() was called on."""
    module = sys.modules[cls.__module__]
    main = sys.modules["__main__"]
    if module is main:
        spec = getattr(main, "__spec__", None)
        name = spec.name if spec is not None and spec.name != "__main__" else _file(main, cls)
    else:
        name = cls.__module__
    return {"module": name, "class": cls.__qualname__, "interpreter": sys.executable or "python3"}


def _file(main, cls):
    file = os.path.abspath(getattr(main, "__file__", None) or "")
    if not os.path.isfile(file) or not file.endswith(".py"):
        raise TaskError(f"{cls.__name__} is not in a file that a worker could load: save its module as a .py file")
    return file


def _hand_over(spec):
    """Becomes the engine."""
    engine = find_engine(os.environ)
    try:
        text = json.dumps(spec, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise TaskError("an argument is not valid UTF-8: rename what it names") from None
    _share_path(spec["handler"]["python"]["module"])
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        sys.stdout.flush()
        sys.stderr.flush()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would hand that down
        os.execv(engine, [ENGINE, "task", "exec", "--spec-fd", str(file.fileno())])


def _share_path(module):
    """Lets the worker's Python find a module by its dotted name where this one did: beside the program."""
    folder = sys.path[0]
    if not module.endswith(".py") and os.path.isdir(folder) and not getattr(sys.flags, "safe_path", False):
        paths = [os.path.abspath(folder), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


def find_engine(environment):
    """Returns the path of the engine: TIGERFLOW_BIN, else on the PATH, else in bin/ of the checkout of this package.

    Raises TaskError.
    """
    named = environment.get(ENGINE_VARIABLE)
    if named:
        if _is_executable(named):
            return os.path.abspath(named)
        raise TaskError(f"{ENGINE_VARIABLE} names {named}, which is no executable file: correct it")
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    folders.append(str(Path(__file__).resolve().parents[3] / "bin"))
    for folder in folders:
        path = os.path.join(folder or ".", ENGINE)
        if _is_executable(path) and not _is_python(path):
            return os.path.abspath(path)
    raise TaskError(
        f"the program {ENGINE} is not on the PATH: add the folder that holds it, or name it in {ENGINE_VARIABLE}"
    )


def _is_executable(path):
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _is_python(path):
    """Whether it is a script of Python's: TigerFlow's own command line, which shares the name."""
    try:
        with open(path, "rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first


def _as_line(error):
    return " ".join(str(error).split()).rstrip(".")


def _is_multiprocessing_child():
    """Children that multiprocessing spawns import the author's module again and must get past its cli() call."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None
