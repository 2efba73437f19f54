"""What task modules need beside the task classes."""

from types import SimpleNamespace

TEMP_FILE_PREFIX = ".~tf_"
"""Begins the names of unfinished outputs."""

FROZEN_MESSAGE = "Cannot modify frozen SetupContext: tried to {action} '{name}'"


class SetupContext(SimpleNamespace):
    """Namespace for what setup prepares and run uses; it holds the params from the start.

    Once frozen, after setup, setting or deleting an attribute raises AttributeError. A copy made by pickle or by the
    copy module is not frozen.
    """

    __slots__ = ("_frozen",)

    def __setattr__(self, name, value):
        self._check("set", name)
        super().__setattr__(name, value)

    def __delattr__(self, name):
        self._check("delete", name)
        super().__delattr__(name)

    def _check(self, action, name):
        if getattr(self, "_frozen", False):
            raise AttributeError(FROZEN_MESSAGE.format(action=action, name=name))

    def freeze(self):
        """Makes the context read-only for good."""
        super().__setattr__("_frozen", True)
