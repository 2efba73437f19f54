"""The kinds of task. An author subclasses one, defines run, and calls cli() at the end of the module.

``setup``, ``run`` and ``teardown`` may be static methods (the usual form), class methods or plain methods; plain ones
are called on an instance made without arguments. An inner class ``Params`` declares the task's params by annotations.
"""

import sys
from abc import ABC, abstractmethod

# While a handler loads a module this is a list: cli() then only notes (calling module, class).
_cli_calls = None


class Task(ABC):
    """Base of the kinds of task; authors subclass the kinds."""

    @staticmethod
    def setup(context):
        """Prepares what all files share (a model, a connection) as attributes of context. Runs once per worker."""

    @staticmethod
    @abstractmethod
    def run(context, input_file, output_file):
        """Turns input_file into output_file (both pathlib.Path). The context is read-only here.

        output_file exists and is empty; leaving it so records that the file was processed without output.
        An exception fails this file only.
        """

    @staticmethod
    def teardown(context):
        """Closes what setup opened. Runs once, when the worker ends in order."""

    @classmethod
    def cli(cls):
        """Runs the task as a command. Where a worker loads the module, it only names the class that is meant."""
        if _cli_calls is not None:
            _cli_calls.append((sys._getframe(1).f_globals.get("__name__"), cls))
            return
        from tigerflow import _cli

        _cli.main(cls)


class LocalTask(Task):
    """A synchronous task, one file at a time."""


class SlurmTask(Task):
    """A synchronous task for compute nodes; every worker runs one file at a time."""


class LocalAsyncTask(Task):
    """An asyncio task with many files in flight in one event loop; its methods are ``async def``."""

    @staticmethod
    async def setup(context):
        """As in Task; a plain ``def`` is accepted too."""

    @staticmethod
    @abstractmethod
    async def run(context, input_file, output_file):
        """As in Task."""

    @staticmethod
    async def teardown(context):
        """As in Task; a plain ``def`` is accepted too."""
