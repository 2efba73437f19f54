"""The options of a task's command line: those of every task, those of its kind, and its params'."""

import enum
import os
from typing import Literal, get_args, get_origin

from tigerflow import _params, tasks
from tigerflow._convert import COLLECTIONS, UNIONS, bare
from tigerflow._errors import TaskError

# name, metavar, help. Required, all of them.
BASE = (
    ("input_dir", "PATH", "Input directory to read data"),
    ("input_ext", "TEXT", "Input file extension"),
    ("output_dir", "PATH", "Output directory to store results"),
    ("output_ext", "TEXT", "Output file extension"),
)
CONCURRENCY_HELP = (
    "Maximum number of coroutines that may run concurrently at any given time "
    "(excess coroutines are queued until capacity becomes available)"
)
METAVARS = {str: "TEXT", int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
METAVARS_BY_NAME = {"UUID": "UUID", "datetime": "[%Y-%m-%d|%Y-%m-%dT%H:%M:%S|%Y-%m-%d %H:%M:%S]"}


class Option:
    """One option: how it is spelled, what it takes, and what its row of the help says."""

    def __init__(self, name, flags=None, metavar="TEXT", help="", required=False, **more):
        self.name = name
        self.flags = flags or ["--" + name.replace("_", "-")]
        self.off_flags = more.pop("off_flags", [])  # set a bool to False
        self.metavar = metavar
        self.help = help
        self.required = required
        self.marked = more.pop("marked", required)  # the help says that it is required
        self.default_text = more.pop("default_text", "")
        self.count = more.pop("count", None)  # of values it takes at once; None: one, 0: none
        self.repeated = more.pop("repeated", False)  # may be given several times, for a list
        self.hidden = more.pop("hidden", False)
        self.panel = more.pop("panel", "Options")
        self.counted = more.pop("counted", False)  # its value is how often it is given
        self.param = more.pop("param", None)  # the Param that it sets, if it is a param's
        self.kind = more.pop("kind", str)
        assert not more, more

    @property
    def shown_as(self):
        """The flag that messages name."""
        return max(self.flags, key=lambda flag: (flag.startswith("--"), len(flag)))


def options(cls):
    """Returns the options of a task class, in the order of the help. Raises TaskError."""
    params = [of_param(param) for param in _params.declared(cls)]
    found = [Option(name, metavar=metavar, help=text, required=True) for name, metavar, text in BASE]
    found += of_kind(cls)
    found += params
    # As in the guide: the help of a task without params does not mention its name.
    found.append(
        Option("task_name", help="Task name", default_text=f"[default: {cls.__name__}]", hidden=not params)
    )
    taken = [flag for option in found for flag in option.flags + option.off_flags]
    twice = next((flag for flag in taken if taken.count(flag) > 1), None)
    if twice is not None:
        raise TaskError(f"option {twice} of {cls.__name__} is declared twice: rename one of the two")
    if "--help" not in taken:
        found.append(Option("help", metavar="", help="Show this message and exit.", count=0))
    return found


def of_kind(cls):
    """Returns the options of the kind of task that cls is."""
    if issubclass(cls, tasks.LocalAsyncTask):
        return [Option("concurrency_limit", metavar="INTEGER", help=CONCURRENCY_HELP, required=True, kind=int)]
    if not issubclass(cls, tasks.SlurmTask):
        return []
    return [
        Option("max_workers", metavar="INTEGER", help="Max number of workers for autoscaling", required=True, kind=int),
        Option("cpus", metavar="INTEGER", help="Number of CPUs per worker", required=True, kind=int),
        Option("memory", help="Memory per worker", required=True),
        Option("time", help="Wall time per worker", required=True),
        Option("gpus", metavar="INTEGER", help="Number of GPUs per worker", kind=int),
        Option("sbatch_option", help="Additional Slurm option for workers (repeatable)", repeated=True),
        Option("setup_command", help="Shell command to run before the task starts (repeatable)", repeated=True),
    ]


def of_param(param):
    """Returns the option of a param, as typer would make it."""
    kind, repeated, count = _shape(param.kind)
    flags, off_flags = _flags(param, kind)
    if kind is bool and not repeated:
        count = 0
    counted = bool(param.setting("count"))
    metavar = param.setting("metavar") or _metavar(param, kind, count, param.kind)
    return Option(
        param.name,
        flags,
        off_flags=off_flags,
        metavar="" if count == 0 else metavar,
        help=_help(param),
        required=param.required,
        marked=False,
        default_text=_default_text(param, flags, off_flags),
        count=0 if counted else count,
        counted=counted,
        repeated=repeated,
        hidden=bool(param.setting("hidden")),
        panel=param.setting("rich_help_panel") or "Options",
        param=param,
        kind=kind,
    )


def _shape(kind):
    """Returns the kind of one value, whether the option is repeated, and how many values it takes if not one."""
    kind = bare(kind)
    args = get_args(kind)
    if get_origin(kind) in UNIONS:
        rest = [arg for arg in args if arg is not type(None)]
        return _shape(rest[0]) if len(rest) == 1 else (kind, False, None)
    origin = get_origin(kind) or kind
    if origin is tuple and args and args[-1] is not ...:
        return kind, False, len(args)
    if origin in COLLECTIONS:
        return bare(args[0]) if args else str, True, None
    return kind, False, None


def _flags(param, kind):
    """Returns the flags, and those that switch a bool off."""
    declared = [flag for flag in param.flags if flag.startswith("-")]
    usual = "--" + param.name.replace("_", "-")
    if kind is not bool:
        return declared or [usual], []
    if not declared:
        return [usual], ["--no-" + usual[2:]]
    pairs = [flag.split("/", 1) + [""] for flag in declared]
    on = [pair[0].strip() for pair in pairs]
    return [flag for flag in on if flag] or [usual], [pair[1].strip() for pair in pairs if pair[1].strip()]


def _metavar(param, kind, count, whole):
    if count:
        return "<" + " ".join(_metavar(param, bare(arg), None, arg) for arg in get_args(bare(whole))) + ">..."
    choices = choices_of(kind)
    if choices is not None:
        return "[" + "|".join(choices) + "]"
    if not isinstance(kind, type):
        return "TEXT"
    if kind in (int, float):
        return METAVARS[kind] + _range(param, kind)
    if issubclass(kind, os.PathLike):
        return "PATH"
    return METAVARS.get(kind) or METAVARS_BY_NAME.get(kind.__name__, "TEXT")


def _range(param, kind):
    text = bounds(param)
    return f" RANGE [{text}]" if text else ""


def bounds(param):
    """Returns what numbers a param accepts, as ``0<=x<=9``, or "" for all."""
    low, high = param.setting("min"), param.setting("max")
    left = "" if low is None else f"{low}<="
    right = "" if high is None else f"<={high}"
    if not (left or right):
        return ""
    return f"{left}x{right}" if left and right else f"x{right}" if right else f"x>={low}"


def choices_of(kind):
    """Returns the words among which an enum or a Literal lets choose; None for other kinds."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(member.value) for member in kind]
    return [str(option) for option in get_args(kind)] if get_origin(kind) is Literal else None


def _help(param):
    """The author's words as one paragraph a line; then the environment variable that is read, if there is one."""
    paragraphs = (param.setting("help") or "").strip().split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _default_text(param, flags, off_flags):
    texts = []
    names = param.setting("envvar") or ()
    if names and param.setting("show_envvar") is not False:
        texts.append(f"[env var: {names if isinstance(names, str) else ', '.join(names)}]")
    default = _default(param, flags, off_flags)
    if default:
        texts.append(f"[default: {default}]")
    return "\n".join(texts)


def _default(param, flags, off_flags):
    show, value = param.setting("show_default"), param.default
    if show is False:
        return ""
    if isinstance(show, str):
        return f"({show})"
    if callable(param.setting("default_factory")):
        return "(dynamic)"
    if value is ... or value is None:
        return ""
    if isinstance(value, bool):
        return (flags if value else off_flags)[0].lstrip("-") if off_flags else ""
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(_word(item) for item in value)
    return _word(value)


def _word(value):
    return str(value.value if isinstance(value, enum.Enum) else value)
