"""Which tasks are there: those of the package, and entry points of installed packages, broken ones among them."""

import json

from harness import PACKAGE_ROOT
from programs import ProgramTest, python

import tigerflow

UPPER = '''
"""Upper task - writes in capitals.

More words.
"""
import sys
import typer
from enum import Enum
from pathlib import Path
from typing import Annotated
from tigerflow.tasks import LocalTask

print("imported")
class Mode(Enum):
    ALL = "all"
class Upper(LocalTask):
    class Params:
        times: Annotated[int, typer.Option(help="How often")]
        mode: Mode = Mode.ALL
        where: Path = Path("x")
        odd_name: Annotated[bool, typer.Option("--odd")] = False
    @staticmethod
    def run(context, input_file, output_file):
        pass
'''


class RegistryTest(ProgramTest):
    def registry(self, *arguments, status=0):
        path = f"{PACKAGE_ROOT}:{self.folder / 'site'}"
        done = python("-S", "-m", "tigerflow._registry", *arguments, PYTHONPATH=path, cwd=self.folder)
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout)

    def test_built_in(self):
        (task,) = self.registry("list")
        want = {
            "name": "echo",
            "source": "built-in",
            "module": "tigerflow.library.echo",
            "class": "",
            "package": "tigerflow",
            "version": tigerflow.__version__,
            "description": "Echo task - copies input to output with optional transformations.",
            "error": None,
        }
        self.assertEqual(task, want)
        task = self.registry("info", "echo")
        self.assertEqual((task["class"], task["error"]), ("Echo", None))
        params = [(p["name"], p["flag"], p["type"], p["default"], p["required"]) for p in task["params"]]
        want = [
            ("prefix", "--prefix", "TEXT", "", False),
            ("suffix", "--suffix", "TEXT", "", False),
            ("uppercase", "--uppercase", "BOOLEAN", "False", False),
        ]
        self.assertEqual(params, want)
        self.assertEqual(task["params"][0]["help"], "Text to put before the content")

    def test_installed(self):
        self.install("my-tasks", "upper = mytasks.upper:Upper\nplain = mytasks.upper\n", mytasks__upper=UPPER)
        self.module("raise SystemExit('a list imports nothing')\n", "site/mytasks/__init__.py")
        listed = self.registry("list")
        self.assertEqual([task["name"] for task in listed], ["echo", "plain", "upper"])
        want = {
            "name": "upper",
            "source": "installed",
            "module": "mytasks.upper",
            "class": "Upper",
            "package": "my-tasks",
            "version": "1.5",
            "description": "Upper task - writes in capitals.",
            "error": None,
        }
        self.assertEqual(listed[2], want)
        self.module("", "site/mytasks/__init__.py")
        for name in ("upper", "plain"):
            task = self.registry("info", name)
            self.assertEqual((task["class"], task["error"]), ("Upper", None))
            self.assertEqual(task["description"], "Upper task - writes in capitals.\n\nMore words.")
            params = [(p["name"], p["flag"], p["type"], p["default"], p["required"]) for p in task["params"]]
            want = [
                ("times", "--times", "INTEGER", None, True),
                ("mode", "--mode", "[all]", "all", False),
                ("where", "--where", "PATH", "x", False),
                ("odd_name", "--odd", "BOOLEAN", "False", False),
            ]
            self.assertEqual(params, want)

    def test_broken_packages(self):
        cases = {
            "absent": ("nowhere.mod", "", "ModuleNotFoundError: No module named 'nowhere.mod'"),
            "syntax": ("syntax", "def f(:\n", "SyntaxError: "),
            "exits": ("exits", "import sys\nsys.exit('no licence')\n", "SystemExit: no licence"),
            "raises": ("raises", "raise ValueError('two\\nlines')\n", "ValueError: two lines"),
            "needs": ("needs", "import whisper_of_nowhere\n", "ModuleNotFoundError: No module named 'whisper_of_nowhere'"),
            "empty": ("empty", "x = 1\n", "TaskError: module empty has no task class: "),
            "interrupt": ("interrupt", "raise KeyboardInterrupt\n", "KeyboardInterrupt:"),
        }
        points = "".join(f"{name} = {module}\n" for name, (module, _, _) in cases.items())
        self.install("broken", points, **{m: text for m, text, _ in cases.values() if text})
        bare = self.folder / "site" / "bare.dist-info"
        bare.mkdir()
        listed = {task["name"]: task for task in self.registry("list")}
        self.assertEqual(set(listed), {"echo", *cases})
        for name, (_, _, error) in cases.items():
            with self.subTest(name):
                task = self.registry("info", name)
                self.assertTrue(task["error"].startswith(error), task["error"])
                self.assertEqual(task["params"], [])
        self.assertTrue(listed["absent"]["error"])
        self.assertIsNone(listed["raises"]["error"])

    def test_a_built_in_task_wins(self):
        self.install("greedy", "echo = greedy\n", greedy=UPPER)
        self.assertEqual([t["source"] for t in self.registry("list")], ["built-in", "installed"])
        self.assertEqual(self.registry("info", "echo")["source"], "built-in")

    def test_unknown(self):
        answer = self.registry("info", "no-such", status=1)
        self.assertEqual(answer, {"error": "no task no-such: `tigerflow tasks list` shows those that are there"})

    def test_usage(self):
        done = python("-m", "tigerflow._registry", "list", "more")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, "usage: python -m tigerflow._registry list | info NAME\n")


