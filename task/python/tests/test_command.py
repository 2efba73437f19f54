"""What task modules make of their command lines: the specification for the engine, or one line that refuses."""

import os
import shutil
import sys
import unittest
import unittest.mock

from harness import PACKAGE_ROOT
from programs import DIRECTORIES, GUIDE, ProgramTest, python

from tigerflow import _cli
from tigerflow._errors import TaskError

MODULE = """
import enum
from pathlib import Path
from typing import Annotated, List, Literal, Optional, Tuple

import typer

from tigerflow.tasks import LocalTask

class Mode(str, enum.Enum):
    FAST = "fast"
    SLOW = "slow"

def even(value: int) -> int:
    if value % 2:
        raise typer.BadParameter("must be even")
    return value

class Many(LocalTask):
    class Params:
        flag: bool = False
        loud: Annotated[bool, typer.Option("--loud/--quiet", "-l/-q")] = False
        once: Annotated[bool, typer.Option("--once", "-o")] = False
        mode: Mode = Mode.FAST
        size: Annotated[int, typer.Option("--size", "-s", min=0, max=9)] = 3
        ratio: float = 0.5
        names: Annotated[Optional[List[str]], typer.Option("--name", "-n")] = None
        sizes: List[int] = []
        pair: Tuple[int, str] = (1, "a")
        folder: Annotated[Path, typer.Option(exists=True, file_okay=False)] = Path("/")
        letter: Literal["a", "b"] = "a"
        verbose: Annotated[int, typer.Option("--verbose", "-v", count=True)] = 0
        pairs: Annotated[int, typer.Option(callback=even)] = 2
        any_case: Annotated[Mode, typer.Option(case_sensitive=False)] = Mode.FAST

    @staticmethod
    def run(context, input_file, output_file):
        pass

if __name__ == "__main__":
    Many.cli()
"""

TASK = """
from tigerflow.tasks import {kind}
class {name}({kind}):
    {run} run(self, context, input_file, output_file):
        pass
"""


class SpecificationTest(ProgramTest):
    def test_local(self):
        got = self.spec(GUIDE / "greet.py", *DIRECTORIES, "--greeting", "Hi there", "--uppercase", "--task-name", "T")
        want = {
            "taskName": "T",
            "type": "Local",
            "inputDir": "in",
            "inputExt": ".txt",
            "outputDir": "out",
            "outputExt": ".txt",
            "handler": {
                "python": {"module": str(GUIDE / "greet.py"), "class": "Greet", "interpreter": sys.executable}
            },
            "params": {"greeting": "Hi there", "uppercase": True},
            "prog": "greet.py",
        }
        self.assertEqual(got, want)

    def test_local_async(self):
        got = self.spec(GUIDE / "embed.py", *DIRECTORIES, "--concurrency-limit", "30", "--model=voyage-4-lite")
        self.assertEqual((got["type"], got["concurrency"], got["taskName"]), ("LocalAsync", 30, "Embed"))
        self.assertEqual(got["params"], {"model": "voyage-4-lite"})

    def test_slurm(self):
        got = self.spec(
            GUIDE / "transcribe.py", *DIRECTORIES, "--max-workers", "3", "--cpus", "1", "--memory", "12G",
            "--time", "02:00:00", "--gpus", "1", "--model-file", "m.pt",
            "--sbatch-option", "--mail-user=me@example.org", "--setup-command", "module purge",
            "--setup-command", "conda activate tiktok",
        )  # fmt: skip
        self.assertEqual((got["type"], got["params"]), ("Slurm", {"model_file": "m.pt"}))
        want = {
            "maxWorkers": 3,
            "cpus": 1,
            "memory": "12G",
            "time": "02:00:00",
            "gpus": 1,
            "sbatchOptions": ["--mail-user=me@example.org"],
            "setupCommands": ["module purge", "conda activate tiktok"],
        }
        self.assertEqual(got["slurm"], want)

    def test_slurm_without_what_is_optional(self):
        few = ("--max-workers", "3", "--cpus", "1", "--memory", "12G", "--time", "02:00:00")
        got = self.spec(GUIDE / "transcribe.py", *DIRECTORIES, *few, "--model-file", "m.pt")
        self.assertEqual(set(got["slurm"]), {"maxWorkers", "cpus", "memory", "time"})

    def test_how_options_are_spelled(self):
        module = self.module(MODULE)
        for arguments, want in (
            ([], {}),
            (["--flag"], {"flag": True}),
            (["--flag", "--no-flag"], {"flag": False}),
            (["--quiet", "-l"], {"loud": True}),
            (["-q"], {"loud": False}),
            (["-ol", "-vvv"], {"once": True, "loud": True, "verbose": 3}),
            (["-os4"], {"once": True, "size": "4"}),
            (["-s", "4"], {"size": "4"}),
            (["--size=4", "--size", "5"], {"size": "5"}),
            (["--ratio", "-1e3"], {"ratio": "-1e3"}),
            (["-na", "-n", "b", "--name=--c"], {"names": ["a", "b", "--c"]}),
            (["--sizes", "1", "--sizes", "2"], {"sizes": ["1", "2"]}),
            (["--pair", "3", "x"], {"pair": ["3", "x"]}),
            (["--mode", "slow", "--letter", "b"], {"mode": "slow", "letter": "b"}),
            (["--any-case", "SLOW"], {"any_case": "SLOW"}),
            (["--pairs", "4"], {"pairs": "4"}),
            (["--folder", "."], {"folder": "."}),
        ):
            with self.subTest(arguments):
                self.assertEqual(self.spec(module, *DIRECTORIES, *arguments)["params"], want)

    def test_refused(self):
        module = self.module(MODULE)
        for arguments, message in (
            (["--frag"], "No such option: --frag (Possible options: --flag, --no-flag, --ratio)"),
            (["--naem", "x"], "No such option: --naem (Possible options: --name, --once)"),
            (["--zzz"], "No such option: --zzz"),
            (["-z"], "No such option: -z"),
            (["extra"], "Got unexpected extra argument (extra)"),
            (["--", "--flag", "x"], "Got unexpected extra arguments (--flag x)"),
            (["--size"], "Option '--size' requires an argument"),
            (["--pair", "3"], "Option '--pair' requires 2 arguments"),
            (["--flag=1"], "Option '--flag' does not take a value"),
            (["--size", "x"], "Invalid value for '--size': 'x' is not a valid integer"),
            (["--size", "10"], "Invalid value for '--size': 10 is not in the range 0<=x<=9"),
            (["--ratio", "x"], "Invalid value for '--ratio': 'x' is not a valid float"),
            (["--sizes", "1", "--sizes", "x"], "Invalid value for '--sizes': 'x' is not a valid integer"),
            (["--mode", "x"], "Invalid value for '--mode': 'x' is not one of 'fast', 'slow'"),
            (["--letter", "c"], "Invalid value for '--letter': 'c' is not one of 'a', 'b'"),
            (["--pair", "x", "y"], "Invalid value for '--pair': must be a list (an integer, text in quotes): "
             'it is ["x", "y"]'),
            (["--folder", "no"], "Invalid value for '--folder': must be a folder that exists: it is \"no\""),
            (["--folder", "task.py"], "Invalid value for '--folder': must be a folder: it is \"task.py\""),
            (["--pairs", "3"], "Invalid value for '--pairs': is not accepted (must be even): it is 3"),
        ):  # fmt: skip
            with self.subTest(arguments):
                line = self.refused(module, *DIRECTORIES, *arguments)
                self.assertEqual(line, f"Error: {message}. Try 'task.py --help' for help.")

    def test_missing(self):
        for name, given, missing in (
            ("hello", (), "--input-dir"),
            ("hello", DIRECTORIES[:6], "--output-ext"),
            ("embed", DIRECTORIES, "--concurrency-limit"),
            ("transcribe", DIRECTORIES, "--max-workers"),
            ("ingest", DIRECTORIES, "--db-path"),
        ):
            with self.subTest(missing):
                line = self.refused(GUIDE / f"{name}.py", *given)
                self.assertEqual(line, f"Error: Missing option '{missing}'. Try '{name}.py --help' for help.")
        line = self.refused(GUIDE / "embed.py", *DIRECTORIES, "--concurrency-limit", "many")
        self.assertIn("Invalid value for '--concurrency-limit': 'many' is not a valid integer", line)

    def test_a_param_from_the_environment(self):
        module = self.module("""
            import typer
            from typing import Annotated
            from tigerflow.tasks import LocalTask
            class Keyed(LocalTask):
                class Params:
                    key: Annotated[str, typer.Option(envvar="MY_KEY")]
                def run(self, context, input_file, output_file):
                    pass
            Keyed.cli()
        """)
        self.assertIn("Missing option '--key'", self.refused(module, *DIRECTORIES))
        # It stays in the environment, and out of the specification.
        self.assertEqual(self.spec(module, *DIRECTORIES, MY_KEY="secret")["params"], {})

    def test_lazy_imports_stay_lazy(self):
        # None of these is installed where the tests run: the stand-ins are not on the path.
        for name in ("transcribe", "embed", "ingest"):
            self.assertEqual(python(GUIDE / f"{name}.py", "--help").returncode, 0)
        done = python("-X", "importtime", GUIDE / "hello.py", "--help")
        loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
        self.assertFalse(loaded & {"asyncio", "typer", "tigerflow._typer", "tigerflow._handler", "inspect", "socket"})

    def test_reserved_names(self):
        for kind, run, name, reserved in (
            ("LocalTask", "def", "input_dir", True),
            ("LocalTask", "def", "time", False),
            ("LocalAsyncTask", "async def", "concurrency_limit", True),
            ("SlurmTask", "def", "time", True),
            ("SlurmTask", "def", "sbatch_options", True),
            ("SlurmTask", "def", "concurrency_limit", False),
        ):
            with self.subTest(kind=kind, name=name):
                text = TASK.format(kind=kind, run=run, name="A") + f"    class Params:\n        {name}: str = ''\nA.cli()\n"
                module = self.module(text)
                if reserved:
                    line = self.refused(module, "--help")
                    self.assertIn(f'param "{name}" of A has a reserved name: rename it, and to none of ', line)
                else:
                    self.assertEqual(python(module, "--help").returncode, 0)


class WhichModuleTest(ProgramTest):
    """How the engine is told of the class that cli() was called on."""

    def named(self, *arguments, **more):
        handler = self.spec(*arguments, *DIRECTORIES, **more)["handler"]["python"]
        return handler["module"], handler["class"]

    def test_by_file(self):
        self.module(TASK.format(kind="LocalTask", run="def", name="Base"), "base.py")
        module = self.module("import base\nbase.Base.cli()\n")
        self.assertEqual(self.named(module), ("base", "Base"))
        guarded = self.module(TASK.format(kind="LocalTask", run="def", name="A") + 'if __name__ == "__main__":\n    A.cli()\n')
        self.assertEqual(self.named("task.py"), (str(guarded), "A"))

    def test_by_dotted_name(self):
        self.module("", "pkg/__init__.py")
        self.module(TASK.format(kind="LocalTask", run="def", name="A") + "if __name__ == '__main__':\n    A.cli()\n", "pkg/mod.py")
        self.module("from .mod import A\nA.cli()\n", "pkg/__main__.py")
        self.assertEqual(self.named("-m", "pkg.mod"), ("pkg.mod", "A"))
        self.assertEqual(self.named("-m", "pkg"), ("pkg.mod", "A"))
        script = self.module("from pkg.mod import A\nA.cli()\n", "run.py")
        self.assertEqual(self.named(script, cwd="/"), ("pkg.mod", "A"))

    def test_nested_and_made_classes(self):
        inner = TASK.format(kind="LocalTask", run="def", name="A").replace("\n", "\n    ")
        self.assertEqual(self.named(self.module(f"class Outer:{inner}\nOuter.A.cli()\n"))[1], "Outer.A")
        self.assertEqual(self.named(self.module(f"def make():{inner}return A\nmake().cli()\n"))[1], "make.<locals>.A")

    def test_a_module_without_a_file(self):
        code = TASK.format(kind="LocalTask", run="def", name="A") + "A.cli()\n"
        done = python("-c", code, *DIRECTORIES, TIGERFLOW_BIN=str(self.engine))
        self.assertEqual(done.returncode, 2)
        self.assertIn("A is not in a file that a worker could load: save its module as a .py file", done.stderr)


class EngineTest(ProgramTest):
    """Where the engine is found."""

    def test_on_the_path(self):
        got = python(GUIDE / "hello.py", *DIRECTORIES, PATH=f"{self.engine.parent}:{os.environ['PATH']}")
        self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_in_the_checkout(self):
        package = self.folder / "task" / "python" / "tigerflow"
        shutil.copytree(PACKAGE_ROOT / "tigerflow", package, ignore=shutil.ignore_patterns("__pycache__"))
        got = python(GUIDE / "hello.py", *DIRECTORIES, PATH="/nowhere", PYTHONPATH=str(package.parent))
        self.assertEqual((got.returncode, got.stderr), (0, ""))

    def test_a_python_script_of_the_name_is_not_it(self):
        other = self.folder / "other"
        other.mkdir()
        (other / "tigerflow").write_text("#!/usr/bin/env python3\nprint('TigerFlow')\n")
        (other / "tigerflow").chmod(0o755)
        self.assertEqual(_cli.find_engine({"PATH": f"{other}:{self.engine.parent}"}), str(self.engine))

    def test_absent(self):
        with unittest.mock.patch.object(_cli, "__file__", "/a/b/c/d/_cli.py"):
            with self.assertRaisesRegex(TaskError, "^the program tigerflow is not on the PATH: add the folder"):
                _cli.find_engine({"PATH": "/nowhere"})
        line = self.refused(GUIDE / "hello.py", *DIRECTORIES, TIGERFLOW_BIN="/nowhere/tigerflow")
        self.assertIn("TIGERFLOW_BIN names /nowhere/tigerflow, which is no executable file: correct it", line)

    def test_an_argument_that_is_no_text(self):
        line = self.refused(GUIDE / "hello.py", *DIRECTORIES, "--task-name", os.fsdecode(b"\xff"))
        self.assertIn("an argument is not valid UTF-8: rename what it names", line)

    def test_signals_are_as_a_program_expects_them(self):
        self.engine.write_text("#!/bin/sh\n/bin/grep SigIgn /proc/self/status\n")
        got = python(GUIDE / "hello.py", *DIRECTORIES, TIGERFLOW_BIN=str(self.engine))
        ignored = int(got.stdout.split()[1], 16)
        self.assertFalse(ignored & 1 << 12, got.stdout)  # SIGPIPE
