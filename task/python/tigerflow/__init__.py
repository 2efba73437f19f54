"""TigerFlow for task authors: a class that turns every file of a folder into one file of another.

Authors import ``tigerflow.tasks`` and ``tigerflow.utils``; modules whose names begin with an underscore are the side
of the worker.
"""

import sys

__version__ = "0.1.0"


class _TyperFallback:
    """Finder and loader of the stand-in for typer. Last in sys.meta_path, so that an installed typer always wins."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "typer":
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, _TyperFallback)

    @staticmethod
    def create_module(spec):
        from tigerflow import _typer

        return _typer

    @staticmethod
    def exec_module(module):
        """The stand-in has been executed by its own import."""


sys.meta_path.append(_TyperFallback)
