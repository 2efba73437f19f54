"""Which modules load, which class they mean, and what is said of those that mean none."""

import unittest

from harness import HandlerTest

from tigerflow import _load

TASK = """
from tigerflow.tasks import LocalTask

class {name}(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text("{name}")
"""
ONE = TASK.format(name="One")
TWO = ONE + TASK.format(name="Two")
GUARD = '\nif __name__ == "__main__":\n    {name}.cli()\n'
UNFINISHED = "from tigerflow.tasks import LocalTask\nclass A(LocalTask):\n    pass\n"
BASE = TASK.format(name="Base") + """
class Unfinished(LocalTask):
    pass

class Mixin:
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text("Mixin")
"""
THIN = "from base import Base\nclass Thin(Base):\n    pass\n"
MIXED = "from base import Mixin, Unfinished\nclass Thin(Mixin, Unfinished):\n    pass\n"
KINDS_ONLY = "from tigerflow.tasks import *\n"
ASYNC_RUN = KINDS_ONLY + "class A(SlurmTask):\n    @staticmethod\n    async def run(c, i, o): pass\n"
GENERATOR = "run of A is a generator, whose code never runs: take yield out of it"
YIELDS = KINDS_ONLY + "class A({kind}):\n    @staticmethod\n    {word} run(c, i, o): yield\n"
ADVICE = "subclass tigerflow.tasks.LocalTask (or LocalAsyncTask, SlurmTask)"


class SplitTest(unittest.TestCase):
    def test_split(self):
        for name, want in (
            ("x.py", ("x.py", "")),
            ("a/x.py:Greet", ("a/x.py", "Greet")),
            ("odd:name/x.py", ("odd:name/x.py", "")),
            ("odd:name/x.py:Greet", ("odd:name/x.py", "Greet")),
            ("pkg.mod", ("pkg.mod", "")),
            ("pkg.mod:Greet", ("pkg.mod", "Greet")),
        ):
            self.assertEqual(_load.split(name), want)


class ChoiceTest(HandlerTest):
    def test_chosen_class(self):
        self.module(BASE, "base.py")
        self.module(TASK.format(name="Hello") + "Hello.cli()\n", "hello.py")
        for label, text, suffix, want in (
            ("the only one", ONE, "", "One"),
            ("guarded cli", ONE + GUARD.format(name="One"), "", "One"),
            ("cli names it", TWO + "Two.cli()\n", "", "Two"),
            ("the first cli counts", TWO + "Two.cli()\nOne.cli()\n", "", "Two"),
            ("named by the user", TWO + "One.cli()\n", ":Two", "Two"),
            ("imported base", THIN, "", "Base"),
            ("imported abstract base", MIXED, "", "Mixin"),
            ("cli of an imported class", "from base import Base\nBase.cli()\n", "", "Base"),
            ("only imported", "from base import Base\n" + GUARD.format(name="Base"), "", "Base"),
            ("imported class named", "from base import Base\n", ":Base", "Base"),
            ("cli of an imported module", "from hello import Hello\n" + ONE, "", "One"),
            ("an alias is no second class", ONE + "Same = One\n", "", "One"),
        ):
            with self.subTest(label):
                handler = self.ready(str(self.module(text)) + suffix)
                self.assertEqual(self.run_file(handler, "1")[1], want)

    def test_dotted_modules(self):
        self.module("", "pkg/__init__.py")
        self.module(BASE, "pkg/_base.py")
        self.module("from ._base import Base\nclass Thin(Base):\n    pass\n" + GUARD.format(name="Thin"), "pkg/mod.py")
        for name in ("pkg.mod", "pkg.mod:Thin"):
            with self.subTest(name):
                self.assertEqual(self.run_file(self.ready(name), "1")[1], "Base")

    def test_refused(self):
        path = self.folder / "task.py"
        for label, text, suffix, message in (
            ("several", TWO, "", f"module {path} has several task classes (One, Two): name one as {path}:One"),
            ("none", "x = 1\n", "", f"module {path} has no task class: {ADVICE} and define run"),
            ("kinds", KINDS_ONLY, "", f"module {path} has no task class: {ADVICE} and define run"),
            ("no run", UNFINISHED + "A.cli()\n", "", "A does not define run"),
            ("no run, no cli", UNFINISHED, "", "A does not define run"),
            ("no such class", ONE, ":C", f"module {path} has no class C"),
            ("not a task", "class C:\n    pass\n", ":C", f"C is not a task class: {ADVICE}"),
            ("async run", ASYNC_RUN, "", 'run of A is async: subclass LocalAsyncTask, or write "def run"'),
            ("generator", YIELDS.format(kind="LocalTask", word="def"), "", GENERATOR),
            ("async generator", YIELDS.format(kind="LocalAsyncTask", word="async def"), "", GENERATOR),
        ):
            with self.subTest(label):
                self.assert_refused(str(self.module(text)) + suffix, message)

    def test_refused_names(self):
        taken = self.module("x = 1\n", "sub/json.py")
        neither = "is neither a path ending in .py nor a dotted name"
        for name, message in (
            ("scripts/task", f'module "scripts/task" {neither}'),
            ("my-task", f'module "my-task" {neither}'),
            ("sub/json.py", f"module {taken} has the name of a module that Python has loaded already: rename the file"),
        ):
            with self.subTest(name):
                self.assert_refused(name, message)

    def test_absent(self):
        mend = "correct handler.python.module"
        for name, message in (
            ("absent.py", f"module {self.folder}/absent.py does not exist: {mend}, which is relative to the workspace"),
            ("absent.mod", f"module absent.mod is not installed for this Python: install it, or {mend}"),
        ):
            with self.subTest(name):
                self.assert_refused(name, message, "ModuleAbsent")

    def assert_refused(self, module, message, kind="TaskError"):
        handler = self.start(module)
        want = {"op": "failed", "stage": "load", "type": kind, "message": message, "traceback": ""}
        self.assertEqual(handler.setup(), want)
        self.assertEqual(handler.wait(), 1)


class AuthorsErrorTest(HandlerTest):
    def test_error_at_import(self):
        for text, kind, message, place in (
            ("import nowhere\n", "ModuleNotFoundError", "No module named 'nowhere'", ", line 1, in <module>"),
            ("def f():\n    raise ValueError('x')\nf()\n", "ValueError", "x", ", line 2, in f"),
            ("import sys\nsys.exit(3)\n", "SystemExit", "3", ", line 2, in <module>"),
            ("raise KeyboardInterrupt\n", "KeyboardInterrupt", "", ", line 1, in <module>"),
            ("def f(:\n", "SyntaxError", "invalid syntax (task.py, line 1)", ", line 1\n    def f(:"),
        ):
            with self.subTest(kind):
                handler = self.start(self.module(text))
                failed = handler.setup()
                self.assertEqual((failed["op"], failed["stage"]), ("failed", "load"))
                self.assertEqual((failed["type"], failed["message"]), (kind, message))
                self.assertIn(f'File "{self.folder}/task.py"{place}', failed["traceback"])
                self.assertNotIn("_load.py", failed["traceback"])
                self.assertEqual(handler.wait(), 1)

    def test_error_in_a_dotted_module(self):
        self.module("import nowhere\n", "pkg.py")
        failed = self.start("pkg").setup()
        self.assertEqual(failed["type"], "ModuleNotFoundError")
        self.assertTrue(failed["traceback"].splitlines()[1].endswith('pkg.py", line 1, in <module>'), failed)

    def test_error_in_the_constructor(self):
        text = """
        from tigerflow.tasks import LocalTask
        class A(LocalTask):
            def __init__(self):
                raise RuntimeError("made")
            def run(self, context, input_file, output_file):
                pass
        """
        failed = self.start(self.module(text)).setup()
        self.assertEqual((failed["stage"], failed["type"], failed["message"]), ("load", "RuntimeError", "made"))


class NamespaceTest(HandlerTest):
    def test_module_has_its_name_and_its_folder_comes_first(self):
        self.module("VALUE = 'sibling'\n", "scripts/sibling.py")
        self.module("VALUE = 'wrong'\n", "sibling.py")
        text = """
        import pickle, sys
        from dataclasses import dataclass
        from pathlib import Path
        import sibling
        from tigerflow.tasks import LocalTask

        @dataclass
        class Point:
            x: "int" = 0

        class A(LocalTask):
            @staticmethod
            def run(context, input_file, output_file):
                point = pickle.loads(pickle.dumps(Point(5)))
                facts = [__name__, point.x, sibling.VALUE, Path(__file__).name, sys.argv == [__file__]]
                output_file.write_text(repr(facts))
        """
        self.module(text, "scripts/my-task.py")
        handler = self.ready("scripts/my-task.py")
        _, output = self.run_file(handler, "1")
        self.assertEqual(output, "['my-task', 5, 'sibling', 'my-task.py', True]")
        self.assertEqual(list(self.folder.glob("scripts/__pycache__/my-task*")), [])

    def test_dotted_module_behind_a_change_of_directory(self):
        self.module("VALUE = 'sibling'\n", "late.py")
        self.module("""
            import os
            from tigerflow.tasks import LocalTask
            class A(LocalTask):
                @staticmethod
                def setup(context):
                    os.chdir("/")
                @staticmethod
                def run(context, input_file, output_file):
                    import late
                    output_file.write_text(late.VALUE)
        """, "wanders.py")
        # As a worker starts it, with an empty name for the working directory.
        start = ("-S", "-c", "import sys; sys.path[0] = ''; from tigerflow import _handler; sys.argv[1:3] = []; _handler.start()")
        self.assertEqual(self.run_file(self.ready("wanders", options=start), "1")[1], "sibling")

    def test_methods_of_every_kind(self):
        head = "from tigerflow.tasks import LocalTask\nclass A(LocalTask):\n"
        kinds = {
            "static": ("@staticmethod\n    ", ""),
            "class": ("@classmethod\n    ", "cls, "),
            "plain": ("", "self, "),
        }
        for run_kind, (run_decorator, run_first) in kinds.items():
            for setup_kind, (setup_decorator, setup_first) in kinds.items():
                with self.subTest(run=run_kind, setup=setup_kind):
                    module = self.module(
                        f"{head}    {setup_decorator}def setup({setup_first}context):\n        context.word = 'word'\n"
                        f"    {run_decorator}def run({run_first}context, i, o):\n        o.write_text(context.word)\n"
                    )
                    self.assertEqual(self.run_file(self.ready(module), "1")[1], "word")
