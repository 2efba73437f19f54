"""Stands in for typer where it is not installed: it records what task modules say about their params.

Only what annotations and error exits of a task need is here. Asking for anything else raises AttributeError, so that
``from typer import Typer`` is an ImportError, as it would be without the stand-in.
"""

import sys


class OptionInfo:
    """What Option() was given; its attributes are named as typer names them."""

    def __init__(self, default=..., *param_decls, **settings):
        self.__dict__.update(settings)
        self.default = default
        self.param_decls = param_decls


class ArgumentInfo(OptionInfo):
    """What Argument() was given."""


def Option(default=..., *param_decls, **settings):
    """Records the settings of a param."""
    return OptionInfo(default, *param_decls, **settings)


def Argument(default=..., *param_decls, **settings):
    """Records the settings of a param."""
    return ArgumentInfo(default, *param_decls, **settings)


class Exit(RuntimeError):
    """Ends a command with a status; in a task it fails the file or the setup."""

    def __init__(self, code=0):
        super().__init__(code)
        self.exit_code = code


class Abort(RuntimeError):
    """Ends a command; in a task it fails the file or the setup."""


class BadParameter(ValueError):
    """Says that a param has a wrong value."""


def echo(message="", file=None, nl=True, err=False):
    """Prints message."""
    print(message, file=file or (sys.stderr if err else sys.stdout), end="\n" if nl else "")


def __getattr__(name):
    raise AttributeError(f"typer is not installed, and what stands in for it has no {name}: pip install typer")
