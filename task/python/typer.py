"""Lets task modules import typer where it is not installed: the installed one comes first, wherever it is.

Modules import typer before tigerflow as often as after, so that tigerflow alone could not stand in for it.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec


def _installed():
    """Finds the typer that hides behind this file on sys.path."""
    here = os.path.dirname(os.path.abspath(__file__))
    elsewhere = [folder for folder in sys.path if os.path.abspath(folder) != here]
    return PathFinder.find_spec(__name__, elsewhere)


def _take_place(spec):
    if spec is None:
        from tigerflow import _typer

        sys.modules[__name__] = _typer
        return
    module = sys.modules[__name__] = module_from_spec(spec)
    spec.loader.exec_module(module)


_take_place(_installed())
