"""Runs task modules as programs, with an engine that only shows what it was told, or with the real one."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from harness import PACKAGE_ROOT

GUIDE = Path(__file__).resolve().parent / "guide"
TIMEOUT = 120  # seconds
DIRECTORIES = ("--input-dir", "in", "--input-ext", ".txt", "--output-dir", "out", "--output-ext", ".txt")


def environment(**more):
    """An environment of our own, with the package of this checkout and nothing of the caller's Python."""
    drop = ("PYTHON", "TIGERFLOW", "COLUMNS", "LINES")
    env = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    return {**env, "PYTHONPATH": str(PACKAGE_ROOT), **more}


def python(*arguments, cwd=None, **more):
    """Runs Python with the arguments, to its end."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(**more),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )


class ProgramTest(unittest.TestCase):
    """Base of the tests: a folder of modules, and an engine that prints its specification."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="tigerflow-test-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name).resolve()
        self.engine = self.folder / "bin" / "tigerflow"
        self.engine.parent.mkdir()
        self.engine.write_text('#!/bin/sh\n[ "$1 $2 $3" = "task exec --spec-fd" ] && exec /bin/cat "/dev/fd/$4"\nexit 9\n')
        self.engine.chmod(0o755)

    def module(self, text, name="task.py"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def install(self, package, points, **modules):
        """Lays a package out as pip does, below site."""
        info = self.folder / "site" / f"{package.replace('-', '_')}-1.5.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text("[tigerflow.tasks]\n" + points)
        for name, text in modules.items():
            self.module(text.lstrip("\n"), f"site/{name.replace('__', '/')}.py")

    def spec(self, *arguments, **more):
        """Runs a module with arguments; returns what the engine was told."""
        more = {"TIGERFLOW_BIN": str(self.engine), "cwd": self.folder, **more}
        done = python(*arguments, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def refused(self, *arguments, **more):
        """Runs a module that must refuse its arguments; returns the line that it says."""
        more = {"TIGERFLOW_BIN": str(self.engine), "cwd": self.folder, **more}
        done = python(*arguments, **more)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr[:-1]
