"""The help of task modules: the guide's, to the letter, and Rich's layout at other widths."""

import enum
import unittest
from pathlib import Path
from typing import Annotated, List, Literal, Optional, Tuple

from programs import GUIDE, ProgramTest, python

from tigerflow import _help, _options, tasks
from tigerflow._errors import TaskError
from tigerflow._typer import Option


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Many(tasks.LocalTask):
    class Params:
        flag: bool = False
        on: bool = True
        mode: Mode = Mode.FAST
        size: Annotated[int, Option(min=0, max=9)] = 3
        low: Annotated[float, Option(min=0)] = 1.5
        high: Annotated[Optional[float], Option(max=1)] = None
        names: Annotated[List[str], Option(help="many")] = []
        two: List[int] = [1, 2]
        short: Annotated[str, Option("--short", "-s", help="A short")] = "x"
        pair: Tuple[int, str] = (1, "a")
        key: Annotated[str, Option(envvar="KEY", help="Env")] = "e"
        loud: Annotated[bool, Option("--loud/--quiet", "-l/-q")] = False
        hidden: Annotated[str, Option(hidden=True)] = ""
        thing: Annotated[str, Option(metavar="THING")] = "q"
        silent: Annotated[str, Option(show_default=False, help="nothing shown")] = "zz"
        said: Annotated[str, Option(show_default="in words")] = "zz"
        made: Annotated[List[str], Option(default_factory=list)]
        letter: Literal["a", "b"] = "a"
        elsewhere: Annotated[Path, Option(rich_help_panel="More", help="In a panel\n   of its own")] = Path("x")
        verbose: Annotated[int, Option("--verbose", "-v", count=True)] = 0

    @staticmethod
    def run(context, input_file, output_file):
        """Nothing."""


MANY_80 = """\
╭─ Options ────────────────────────────────────────────────────────────────────╮
│ *  --input-dir                      PATH                 Input directory to  │
│                                                          read data           │
│                                                          [required]          │
│ *  --input-ext                      TEXT                 Input file          │
│                                                          extension           │
│                                                          [required]          │
│ *  --output-dir                     PATH                 Output directory to │
│                                                          store results       │
│                                                          [required]          │
│ *  --output-ext                     TEXT                 Output file         │
│                                                          extension           │
│                                                          [required]          │
│    --flag            --no-flag                           [default: no-flag]  │
│    --on              --no-on                             [default: on]       │
│    --mode                           [fast|slow]          [default: fast]     │
│    --size                           INTEGER RANGE        [default: 3]        │
│                                     [0<=x<=9]                                │
│    --low                            FLOAT RANGE [x>=0]   [default: 1.5]      │
│    --high                           FLOAT RANGE [x<=1]                       │
│    --names                          TEXT                 many                │
│    --two                            INTEGER              [default: 1, 2]     │
│    --short       -s                 TEXT                 A short             │
│                                                          [default: x]        │
│    --pair                           <INTEGER TEXT>...    [default: 1, a]     │
│    --key                            TEXT                 Env                 │
│                                                          [env var: KEY]      │
│                                                          [default: e]        │
│    --loud        -l  --quiet    -q                       [default: quiet]    │
│    --thing                          THING                [default: q]        │
│    --silent                         TEXT                 nothing shown       │
│    --said                           TEXT                 [default: (in       │
│                                                          words)]             │
│    --made                           TEXT                 [default:           │
│                                                          (dynamic)]          │
│    --letter                         [a|b]                [default: a]        │
│    --verbose     -v                 INTEGER              [default: 0]        │
│    --task-name                      TEXT                 Task name           │
│                                                          [default: Many]     │
│    --help                                                Show this message   │
│                                                          and exit.           │
╰──────────────────────────────────────────────────────────────────────────────╯
╭─ More ───────────────────────────────────────────────────────────────────────╮
│ --elsewhere        PATH  In a panel of its own [default: x]                  │
╰──────────────────────────────────────────────────────────────────────────────╯
"""

NARROW = """\
╭─ Options ────────────────────╮
│ *  --in…        PATH  Input  │
│                       direc… │
│                       to     │
│                       read   │
│                       data   │
│                       [requ… │
"""


class GuideHelpTest(unittest.TestCase):
    def check(self, name):
        golden = (GUIDE / f"{name}.help").read_text(encoding="utf-8")
        width = len(golden.splitlines()[-1])
        done = python(GUIDE / f"{name}.py", "--help", COLUMNS=str(width))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, golden)

    def test_hello(self):
        self.check("hello")

    def test_greet(self):
        self.check("greet")

    def test_transcribe(self):
        self.check("transcribe")

    def test_embed(self):
        self.check("embed")

    def test_ingest(self):
        self.check("ingest")

    def test_eighty_columns_where_there_is_no_terminal(self):
        done = python(GUIDE / "greet.py", "--help")
        self.assertEqual(done.stdout, (GUIDE / "greet.help").read_text(encoding="utf-8"))

    def test_a_module_run_by_its_name(self):
        done = python("-m", "tigerflow.library.echo", "--help")
        self.assertEqual(done.stdout.splitlines()[0], "Usage: python -m tigerflow.library.echo [OPTIONS]")
        for row in ("--prefix ", "--suffix ", "--uppercase ", "--task-name         TEXT  Task name [default: Echo]"):
            self.assertIn(f"│    {row}", done.stdout)

    def test_output_that_is_no_utf8(self):
        done = python(GUIDE / "greet.py", "--help", PYTHONIOENCODING="ascii")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("|    --greeting          TEXT  Greeting to prepend [default: Hello]            |", done.stdout)


class LayoutTest(unittest.TestCase):
    def rendered(self, cls, width):
        return _help.render("task.py", cls, _options.options(cls), width)

    def test_every_kind_of_option(self):
        self.assertEqual(self.rendered(Many, 80).split("\n\n", 2)[2], MANY_80)

    def test_a_narrow_terminal(self):
        text = self.rendered(tasks.LocalTask, 32).split("\n\n", 2)[2]
        self.assertTrue(text.startswith(NARROW), text)

    def test_every_line_is_as_wide_as_the_terminal(self):
        for width in range(20, 200, 7):
            lines = self.rendered(Many, width).splitlines()[4:]
            self.assertEqual({_help.cells(line) for line in lines}, {width})

    def test_wide_characters(self):
        class Wide(tasks.LocalTask):
            class Params:
                name: Annotated[str, Option(help="日本語の説明 e\u0301")] = "猫"

        lines = self.rendered(Wide, 72).splitlines()[4:]
        self.assertEqual({_help.cells(line) for line in lines}, {72})
        self.assertIn("日本語の説明 e\u0301 [default: 猫]", "\n".join(lines))


class DeclarationTest(unittest.TestCase):
    def options(self, **params):
        annotations = {name: kind for name, (kind, _) in params.items()}
        holder = type("Params", (), {"__annotations__": annotations, **{n: d for n, (_, d) in params.items()}})
        return _options.options(type("Sample", (tasks.LocalTask,), {"Params": holder}))

    def test_underscores_become_hyphens(self):
        self.assertIn(["--my-long-param"], [option.flags for option in self.options(my_long_param=(str, ""))])

    def test_flags_declared_twice(self):
        with self.assertRaisesRegex(TaskError, "^option --x of Sample is declared twice: rename one of the two$"):
            self.options(x=(str, ""), y=(Annotated[str, Option("--x")], ""))

    def test_an_author_may_have_an_option_help(self):
        names = [option.name for option in self.options(help=(str, ""))]
        self.assertEqual(names.count("help"), 1)
