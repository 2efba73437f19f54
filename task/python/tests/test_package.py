"""The package as it is shipped: from a zip, by pip, beside typer or without it, and outside a worker."""

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

from harness import PACKAGE_ROOT, HandlerTest

import tigerflow
from tigerflow.staging import StagingContext
from tigerflow.utils import TEMP_FILE_PREFIX, SetupContext


def python(*arguments, root=PACKAGE_ROOT, cwd=None, **environment):
    """Runs Python outside a worker."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "TIGERFLOW"))}
    env.update(PYTHONPATH=str(root), **environment)
    return subprocess.run([sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True, timeout=60)


class ShippingTest(HandlerTest):
    ASYNC = """
    from tigerflow.tasks import LocalAsyncTask
    class A(LocalAsyncTask):
        class Params:
            word: str
        @staticmethod
        async def run(context, input_file, output_file):
            output_file.write_text(context.word)
            raise ValueError
    """

    def test_from_a_zip(self):
        archive = self.folder / "tigerflow.zip"
        with zipfile.ZipFile(archive, "w") as z:
            for path in sorted(PACKAGE_ROOT.glob("tigerflow/**/*.py")):
                z.write(path, path.relative_to(PACKAGE_ROOT))
        handler = self.ready("tigerflow.library.echo", {"prefix": "> "}, root=archive)
        self.assertEqual(self.run_file(handler, "1", "text")[1], "> text")
        self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
        handler = self.ready(self.module(self.ASYNC), {"word": "w"}, root=archive)
        reply, text = self.run_file(handler, "2")
        self.assertEqual((reply["type"], text), ("ValueError", "w"))
        self.assertTrue(reply["traceback"].splitlines()[1].startswith(f'  File "{self.folder}/task.py"'), reply)

    def test_builds(self):
        if python("-c", "import setuptools; assert int(setuptools.__version__.split('.')[0]) >= 64").returncode:
            self.skipTest("setuptools 64 or later is not installed")
        source = self.folder / "source"
        other = shutil.ignore_patterns("tests", "__pycache__", "build", "*.egg-info")
        shutil.copytree(PACKAGE_ROOT, source, ignore=other)
        setup = ["-c", "import os, setuptools; os.chdir('source'); setuptools.setup()"]
        named = python(*setup, "--name", "--version", cwd=self.folder)
        self.assertEqual(named.stdout.split()[-2:], ["tigerflow-runner", tigerflow.__version__], named.stderr)
        built = python(*setup, "build", "--build-lib", "../lib", cwd=self.folder)
        self.assertEqual(built.returncode, 0, built.stderr)
        shipped = sorted(p.relative_to(PACKAGE_ROOT) for p in PACKAGE_ROOT.glob("tigerflow/**/*.py"))
        shipped.append(Path("typer.py"))
        self.assertEqual(sorted(p.relative_to(self.folder / "lib") for p in self.folder.glob("lib/**/*.*")), shipped)

    def test_only_python_files(self):
        others = [p for p in PACKAGE_ROOT.glob("tigerflow/**/*") if p.is_file() and p.suffix not in (".py", ".pyc")]
        self.assertEqual(others, [])


class ImportTest(unittest.TestCase):
    def loaded(self, statement):
        result = python("-S", "-c", f"{statement}\nimport sys; print(*sorted(sys.modules))")
        self.assertEqual(result.returncode, 0, result.stderr)
        return set(result.stdout.split())

    def test_what_a_module_imports_is_light(self):
        before = self.loaded("pass")
        got = self.loaded("from tigerflow.tasks import LocalTask\nfrom tigerflow.utils import SetupContext") - before
        self.assertLessEqual(got, {"tigerflow", "tigerflow.tasks", "tigerflow.utils", "types"})

    def test_a_synchronous_handler_imports_nothing_of_the_other_kind(self):
        got = self.loaded("from tigerflow import _handler, _load, _params")
        for heavy in ("asyncio", "typer", "tigerflow._typer", "inspect", "threading", "socket", "dataclasses"):
            self.assertNotIn(heavy, got)

    def test_an_installed_typer_wins(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "typer.py").write_text("REAL = True\n")
            result = python("-c", "import tigerflow, typer; print(typer.REAL)", root=f"{PACKAGE_ROOT}:{folder}")
        self.assertEqual(result.stdout, "True\n", result.stderr)

    def test_typer_before_tigerflow(self):
        """Modules that import typer first find the stand-in, or an installed typer wherever it stands on the path."""
        show = "import typer; print(typer.__name__, getattr(typer, 'REAL', False), sys.modules['typer'] is typer)"
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "typer")
            package.mkdir()
            (package / "__init__.py").write_text("from typer.main import REAL\n")
            (package / "main.py").write_text("REAL = True\n")
            for root, want in (
                (PACKAGE_ROOT, "tigerflow._typer False True\n"),
                (f"{PACKAGE_ROOT}:{folder}", "typer True True\n"),
                (f"{folder}:{PACKAGE_ROOT}", "typer True True\n"),
            ):
                with self.subTest(root):
                    result = python("-S", "-c", "import sys\n" + show, root=root)
                    self.assertEqual(result.stdout, want, result.stderr)

    def test_the_stand_in_is_no_typer(self):
        absent = "AttributeError: typer is not installed, and what stands in for it has no Typer"
        for code, line in (
            ("from typer import Typer", "ImportError: cannot import name 'Typer'"),
            ("import typer; typer.Typer()", absent),
            ("import typer.main", "ModuleNotFoundError: No module named 'typer.main'"),
            ("import typer; raise typer.Exit(3)", "typer.Exit: 3"),
        ):
            with self.subTest(code):
                result = python("-S", "-c", "import tigerflow\n" + code)
                self.assertIn(line.replace("typer.Exit", "tigerflow._typer.Exit"), result.stderr)

    def test_the_stand_in_echoes(self):
        result = python("-S", "-c", "import tigerflow, typer; typer.echo('out'); typer.echo('err', err=True, nl=False)")
        self.assertEqual((result.stdout, result.stderr), ("out\n", "err"))


class ProgramTest(unittest.TestCase):
    """The handler where no worker has started it."""

    def test_the_handler_says_who_starts_it(self):
        for environment in ({}, {"TIGERFLOW_HANDLER": "0"}):
            result = python("-m", "tigerflow._handler", "x.py", **environment)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertEqual(result.stderr, "tigerflow._handler is started by a worker: use `tigerflow run FILE`\n")


class ContextTest(unittest.TestCase):
    def test_frozen(self):
        context = SetupContext(a=1)
        context.b = 2
        del context.a
        context.freeze()
        self.assertEqual((vars(context), repr(context)), ({"b": 2}, "SetupContext(b=2)"))
        with self.assertRaisesRegex(AttributeError, "^Cannot modify frozen SetupContext: tried to set 'b'$"):
            context.b = 3
        with self.assertRaisesRegex(AttributeError, "^Cannot modify frozen SetupContext: tried to delete 'b'$"):
            del context.b
        with self.assertRaisesRegex(AttributeError, "tried to set '_frozen'"):
            context._frozen = False
        self.assertEqual(context.b, 2)

    def test_pickled(self):
        context = SetupContext(a=1)
        context.freeze()
        copy = pickle.loads(pickle.dumps(context))
        copy.a += 1
        self.assertEqual((copy.a, context.a), (2, 1))

    def test_prefix(self):
        self.assertEqual(TEMP_FILE_PREFIX, ".~tf_")


class StagingTest(unittest.TestCase):
    def test_the_context_is_read_only(self):
        context = StagingContext(staged=1, completed=2, failed=3, input_dir=Path("in"), output_dir=Path("out"))
        with self.assertRaises(AttributeError):
            context.staged = 0
        self.assertEqual((context.staged, context.completed, context.failed), (1, 2, 3))


class LoggerTest(unittest.TestCase):
    def test_lazy(self):
        code = """
from tigerflow.logconfig import logger
lazy = logger.opt(lazy=True)
lazy.info("{} {b}", lambda: "a", b=lambda: "b")
lazy.debug("{}", lambda: 1 / 0)  # not shown, not called
logger.opt(exception=True).info("{}", str)
"""
        lines = [line.split(" | ", 1)[1] for line in python("-c", code).stderr.splitlines() if " | " in line]
        self.assertEqual(lines, ["INFO     | a b", "INFO     | <class 'str'>"])

    def test_lines(self):
        code = """
from tigerflow.logconfig import logger
for level in ("trace", "debug", "info", "success", "warning", "error", "critical"):
    getattr(logger, level)("{} {b}", "a", b="b")
logger.info("braces {} stay")
logger.warning(ValueError("no text"))
logger.log("METRICS", "own level")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("failed")
"""
        lines = python("-c", code).stderr.splitlines()
        self.assertEqual(
            [line.split(" | ", 1)[1] for line in lines if " | " in line],
            [
                "INFO     | a b",
                "SUCCESS  | a b",
                "WARNING  | a b",
                "ERROR    | a b",
                "CRITICAL | a b",
                "INFO     | braces {} stay",
                "WARNING  | no text",
                "METRICS  | own level",
                "ERROR    | failed",
            ],
        )
        self.assertEqual(lines[-1], "ZeroDivisionError: division by zero")

    def test_calls_of_loguru(self):
        code = """
import asyncio, sys
from tigerflow.logconfig import logger
seen = []
number = logger.add(seen.append, level="WARNING")
logger.add("own.log", level="DEBUG")
@logger.catch
def fails():
    raise ValueError("caught")
fails()
@logger.catch(reraise=True, message="again")
async def fails_too():
    raise KeyError("raised")
try:
    asyncio.run(fails_too())
except KeyError as error:
    logger.opt(exception=error, colors=True).info("by {}", "opt")
with logger.catch(ZeroDivisionError):
    1 / 0
with logger.contextualize(task=1):
    logger.bind(file="x").debug("debug")
logger.level("AUDIT", no=35, color="<red>")
logger.log("AUDIT", "audited")
logger.log(40, "numbered")
logger.remove(number)
logger.error("not seen")
try:
    logger.remove(99)
except ValueError as error:
    logger.error(error)
logger.remove()
logger.error("nowhere")
print(len(seen), *(line.splitlines()[0].split(" | ", 1)[1] for line in seen), sep=";")
"""
        with tempfile.TemporaryDirectory() as folder:
            done = python("-c", code, cwd=folder)
            own = Path(folder, "own.log").read_text()
        self.assertEqual(done.returncode, 0, done.stderr)
        caught = "ERROR    | An error has been caught"
        want = f"5;{caught};ERROR    | again;{caught};AUDIT    | audited;Level 40 | numbered\n"
        self.assertEqual(done.stdout, want)
        self.assertIn("INFO     | by opt\nTraceback (most recent call last):", done.stderr)
        self.assertIn("ValueError: caught\n", done.stderr)
        self.assertIn("DEBUG    | debug\n", own)
        self.assertNotIn("debug", done.stderr)
        self.assertIn("ERROR    | There is no existing handler with id 99\n", own)
        self.assertNotIn("nowhere", own + done.stderr)
