"""Modules as they are found in the wild run as they stand: as programs, under a worker, with typer and without it."""

import json
import unittest
from pathlib import Path

from harness import PACKAGE_ROOT, HandlerTest
from programs import DIRECTORIES, ProgramTest, python

WILD = Path(__file__).resolve().parent / "wild"
TYPER_LIKE = Path(__file__).resolve().parent / "typer_like"
SLURM = ("--max-workers", "1", "--cpus", "1", "--memory", "1G", "--time", "1:00:00")
ASYNC = ("--concurrency-limit", "4")

# module, options, input, output, what its log must hold
MODULES = [
    ("guarded", (), "abc", "ABC", ""),
    ("thin_subclasses", (), "-*a*-", "*a*", ""),
    ("sibling_base", (), "one two", "One Two", ""),
    ("logging_lines", (), "abcd", "logged", "SUCCESS  | Read 4 characters"),
    ("std_logging", (), "", "noted", "INFO:running 1"),
    ("typed_dict", (), "a b", '[{"id": 0, "text": "a"}, {"id": 1, "text": "b"}]', ""),
    ("dataclass_record", (), "a bbb cc", '{"count": 3, "text": "bbb"}', ""),
    ("cached_helpers", (), "1 5 20", "1 120 2432902008176640000", ""),
    ("global_state", (), "abc", "12c1", ""),
    ("csv_summary", (), "x,y\n1,2\n3,4\n", "column,mean\nx,2.0\ny,3.0\n", ""),
    ("word_count", (), "A b, a", '{"2": ["a"], "1": ["b"]}', ""),
    ("optional_import", (), '{"b": 1, "a": 2}', "['a', 'b']", ""),
    ("external_tool", (), "abc", "ABC", ""),
    ("moves_into_place", (), "x", "<p>x</p>", ""),
    ("own_exception", (), "abc", "1.in has 3 characters only", ""),
    ("database_rows", (), "abc", "1 abc", ""),
    ("enum_params", ("--case", "LOWER"), "AbC", "abc", ""),
    ("optional_params", ("--limit", "2", "--skip", "0", "--skip", "1", "--reverse"), "a b c d e", "d c", ""),
    ("optional_params", (), "a  b", "a b", ""),
    ("old_style_options", ("-w3", "--header", "x/title.txt"), "aa bb", "title.txt|aa|bb", ""),
    ("inherited_params", ("--threshold", "1", "--cache", "x/y"), "", "en x/y 1.0", ""),
    ("plain_methods", (), "first second", "1: first", "1 in all"),
    ("exit_stack", (), "", "hi", "opened\nclosed"),
    ("async_semaphore", ASYNC, "ab cd", "ba dc", ""),
    ("async_threads", ASYNC, "aB", "Ab", ""),
    ("async_subprocess", ASYNC, "b\na\n", "a\nb\n", ""),
    ("async_exit_stack", ASYNC, "", "session", "INFO     | session closed"),
    ("slurm_model", (*SLURM, "--label", "even", "--label", "odd", "--device", "cuda"), "abc", "odd", "Model on cuda"),
    ("process_pool", (), "1 2 3", "1 4 9", ""),
    ("thread_pool", (), "abc", "ABC", ""),
    ("mixins", (), "x", "x!2", ""),
    ("factory", (), "ABC", "abc", ""),
    ("star_import", (), "", "starred", ""),
    ("several_tasks", (), "", "first second", ""),
    ("pickles", (), "", "[Pair(left=1, right=2), Point(x=3, y=2)]", ""),
    ("type_checking", (), "", ".in True", ""),
    ("decorated_run", (), "", "timed", "run took True"),
    ("prints_at_import", (), "abc", "loud", "to stderr too\nabc\n"),
    ("binary", (), "abc", "ba7816bf", ""),
    ("temp_prefix", (), "", "1", ""),
    ("my-dashed-name", (), "", "my-dashed-name", ""),
    ("textkit.tasks.tidy", ("--end", "!"), "a\n b", "Tidy a b!", ""),
]


class WildTest(ProgramTest, HandlerTest):
    def setUp(self):
        HandlerTest.setUp(self)
        handler_folder = self.folder
        ProgramTest.setUp(self)
        self.folder = handler_folder

    def told(self, module, arguments, *path):
        """Runs a module as a program; returns what it tells the engine."""
        place = ["-m", module] if "." in module else [WILD / f"{module}.py"]
        done = python(
            *place, *DIRECTORIES, *arguments, cwd=WILD, TIGERFLOW_BIN=str(self.engine), PYTHONPATH=":".join(map(str, path))
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout[done.stdout.index("{") :])

    def check(self, modules, *path):
        for module, arguments, content, want, logged in modules:
            with self.subTest(module):
                spec = self.told(module, arguments, *path)
                python_handler = spec["handler"]["python"]
                handler = self.ready(
                    f"{python_handler['module']}:{python_handler['class']}",
                    spec["params"],
                    spec.get("concurrency", 1),
                    options=("-B",),
                    root=":".join(map(str, [*path, WILD])),
                )
                reply, text = self.run_file(handler, "1", content)
                self.assertEqual((reply["op"], text), ("done", want), (reply, handler.log()))
                self.assertEqual(handler.teardown(), ({"op": "bye"}, 0))
                self.assertIn(logged, handler.log())
                handler.log_path.write_text("")
                for left in self.folder.glob(".~tf_*"):
                    left.unlink()

    def test_without_typer(self):
        self.check(MODULES, PACKAGE_ROOT)

    def test_with_typer(self):
        """Only modules that know of typer can tell the difference."""
        knowing = [row for row in MODULES if "." in row[0] or "typer" in (WILD / f"{row[0]}.py").read_text()]
        self.assertGreaterEqual(len(knowing), 5)
        self.check(knowing, PACKAGE_ROOT, TYPER_LIKE)


class CountTest(unittest.TestCase):
    def test_every_module_is_run(self):
        names = {path.stem for path in WILD.glob("*.py")} - {"textbase"}
        self.assertEqual(names, {module for module, *_ in MODULES} - {"textkit.tasks.tidy"})
        self.assertGreaterEqual(len(names), 30)
