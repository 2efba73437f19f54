"""Has the shape of an installed typer, as far as task modules see it: a package, and options with all their settings."""
from .models import Argument, BadParameter, Exit, Option, Typer, echo

__all__ = ["Argument", "BadParameter", "Exit", "Option", "Typer", "echo"]
