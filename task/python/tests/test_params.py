"""Params: declaration, conversion, and the one line that a wrong one gets."""

import collections.abc
import datetime
import decimal
import enum
import inspect
import json
import pathlib
import random
import sys
import typing
import unittest
import unittest.mock
import uuid
from typing import Annotated, Any, ClassVar, Dict, List, Literal, NewType, Optional, Tuple, Union

from harness import HandlerTest

from tigerflow import _params, _typer, tasks
from tigerflow._convert import convert, expected
from tigerflow._errors import TaskError


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Level(enum.IntEnum):
    ONE = 1
    TWO = 2


Seconds = NewType("Seconds", int)

# annotation, JSON value, what the context holds
GOOD = [
    (str, "x", "x"),
    (str, "", ""),
    (bool, True, True),
    (bool, "no", False),
    (bool, "TRUE", True),
    (bool, 0, False),
    (int, 3, 3),
    (int, "3", 3),
    (int, 1e3, 1000),
    (int, -(2**70), -(2**70)),
    (float, 3, 3.0),
    (float, "1e-3", 0.001),
    (pathlib.Path, "a/b", pathlib.Path("a/b")),
    (pathlib.PurePosixPath, "a", pathlib.PurePosixPath("a")),
    (Optional[int], None, None),
    (Optional[int], "3", 3),
    (Optional[str], "3", "3"),
    (Union[int, str], "3", "3"),
    (Union[int, str], 3, 3),
    (Union[int, str], "x", "x"),
    (Mode, "slow", Mode.SLOW),
    (Level, 2, Level.TWO),
    (Level, "2", Level.TWO),
    (Literal["a", 1], "a", "a"),
    (Literal["a", 1], "1", 1),
    (Optional[Literal["a"]], None, None),
    (list, [1, "x"], [1, "x"]),
    (List[int], ["1", 2], [1, 2]),
    (typing.Sequence[Mode], ["fast"], [Mode.FAST]),
    (collections.abc.Sequence, [1], [1]),
    (typing.Set[int], [1, 1], {1}),
    (tuple, [1, 2], (1, 2)),
    (Tuple[int, str], ["1", "x"], (1, "x")),
    (Tuple[int, ...], [1, "2", 3], (1, 2, 3)),
    (List[List[pathlib.Path]], [["a"]], [[pathlib.Path("a")]]),
    (dict, {"a": 1}, {"a": 1}),
    (Dict[str, Any], {"a": [1]}, {"a": [1]}),
    (Any, {"a": None}, {"a": None}),
    (object, 1.5, 1.5),
    (Seconds, "5", 5),
    (Optional[Annotated[int, "note"]], "5", 5),
    (datetime.date, "2025-09-11", datetime.date(2025, 9, 11)),
    (datetime.datetime, "2025-09-11 10:54:23", datetime.datetime(2025, 9, 11, 10, 54, 23)),
    (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    (uuid.UUID, "12345678123456781234567812345678", uuid.UUID("12345678123456781234567812345678")),
]

# annotation, JSON value, what must be said after "must be"
BAD = [
    (str, 5, "text in quotes: it is 5"),
    (str, False, "text in quotes: it is false"),
    (str, None, "text in quotes: it is null"),
    (bool, "maybe", 'true or false: it is "maybe"'),
    (bool, 2, "true or false: it is 2"),
    (bool, 1.0, "true or false: it is 1.0"),
    (int, "abc", 'an integer: it is "abc"'),
    (int, 1.5, "an integer: it is 1.5"),
    (int, "1.5", 'an integer: it is "1.5"'),
    (int, True, "an integer: it is true"),
    (int, [1], "an integer: it is [1]"),
    (float, "fast", 'a number: it is "fast"'),
    (float, False, "a number: it is false"),
    (pathlib.Path, 5, "a path: it is 5"),
    (Optional[int], "x", 'an integer or null: it is "x"'),
    (Mode, "medium", 'one of "fast", "slow": it is "medium"'),
    (Level, True, "one of 1, 2: it is true"),
    (Literal["a", 1], "b", 'one of "a", 1: it is "b"'),
    (List[int], "1", 'a list (an integer): it is "1"'),
    (List[int], ["x"], 'a list (an integer): it is ["x"]'),
    (list, {"a": 1}, 'a list: it is {"a": 1}'),
    (Tuple[int, str], [1], "a list (an integer, text in quotes): it is [1]"),
    (Tuple[int, ...], 1, "a list (an integer, ...): it is 1"),
    (dict, "a", 'a mapping: it is "a"'),
    (datetime.date, "soon", 'a date: it is "soon"'),
    (decimal.Decimal, "x", 'a Decimal: it is "x"'),
    (str, list(range(99)), "text in quotes: it is [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16..."),
]


def task(kind=tasks.LocalTask, **annotations):
    """A task class whose Params have the annotations; a value (annotation, default) declares a default."""
    params = {"__annotations__": {k: v[0] if isinstance(v, tuple) else v for k, v in annotations.items()}}
    params.update({k: v[1] for k, v in annotations.items() if isinstance(v, tuple)})
    return type("Sample", (kind,), {"Params": type("Params", (), params)})


class ConvertTest(unittest.TestCase):
    def test_good(self):
        for kind, given, want in GOOD:
            with self.subTest(kind=kind, given=given):
                value = convert(given, kind)
                self.assertEqual((value, type(value)), (want, type(want)))

    def test_what_is_converted_stays(self):
        for kind, _, value in GOOD:
            with self.subTest(kind=kind, value=value):
                self.assertEqual(convert(value, kind), value)

    def test_bad(self):
        for kind, given, message in BAD:
            with self.subTest(kind=kind, given=given):
                with self.assertRaises(TaskError) as raised:
                    _params.context(task(x=kind), {"x": given})
                self.assertEqual(str(raised.exception), f'param "x" must be {message}')

    @unittest.skipIf(sys.version_info < (3, 10), "X | Y needs Python 3.10")
    def test_new_unions(self):
        self.assertEqual(convert("3", int | None), 3)
        self.assertIsNone(convert(None, str | None))
        self.assertEqual(expected(list[int] | None), "a list (an integer) or null")

    def test_any_json_is_converted_or_refused(self):
        randoms = random.Random(2)
        kinds = [kind for kind, _, _ in GOOD]
        for _ in range(5000):
            kind, given = randoms.choice(kinds), random_json(randoms, 2)
            try:
                value = _params.context(task(x=kind), {"x": given}).x
            except TaskError as error:
                self.assertRegex(str(error), r'^param "x" must be .+: it is .+$')
            else:
                self.assertEqual(convert(value, kind), value)


def random_json(randoms, depth):
    texts = ["", "x", "1", "fast", "no", "\ud800", "2025-09-11"]
    leaf = randoms.choice([None, True, False, 0, 1, -7, 2**80, 1.5, 1e400, *texts])
    if depth == 0 or randoms.random() < 0.5:
        return leaf
    items = [random_json(randoms, depth - 1) for _ in range(randoms.randrange(3))]
    return items if randoms.random() < 0.7 else {str(i): item for i, item in enumerate(items)}


class DeclarationTest(unittest.TestCase):
    def test_defaults(self):
        cls = task(
            text=(str, "Hello"),
            missing=(str, None),
            path=(pathlib.Path, "cache"),
            mode=(Mode, "fast"),
            ratio=(float, 1),
            unfit=(int, "author's"),
        )
        context = _params.context(cls, {})
        want = dict(text="Hello", missing=None, path=pathlib.Path("cache"), mode=Mode.FAST, ratio=1.0, unfit="author's")
        self.assertEqual(vars(context), want)
        self.assertIsNone(_params.context(cls, {"missing": None}).missing)

    def test_inherited(self):
        class Common:
            model: str
            device: str = "auto"

        class Mine(tasks.LocalTask):
            class Params(Common):
                limit: int = 5
                device: str = "cpu"

        class Thin(Mine):
            pass

        self.assertEqual([param.name for param in _params.declared(Thin)], ["model", "device", "limit"])
        self.assertEqual(vars(_params.context(Thin, {"model": "m"})), dict(model="m", device="cpu", limit=5))

    def test_class_variables_and_plain_attributes_are_no_params(self):
        class Mine(tasks.LocalTask):
            class Params:
                x: int = 1
                COUNT: ClassVar[int] = 2
                plain = 3

        self.assertEqual(vars(_params.context(Mine, {})), {"x": 1})

    def test_option_settings(self):
        cases = [
            (dict(min=0), -1, 'param "x" must be at least 0: it is -1'),
            (dict(max=2.0), 3, 'param "x" must be at most 2.0: it is 3'),
            (dict(min=0, max=2), 1, 1),
            (dict(max=2, clamp=True), 9, 2),
            (dict(parser=lambda text: int(text, 16)), "ff", 255),
            (dict(parser=lambda text: int(text, 16)), 7, 7),
        ]
        for settings, given, want in cases:
            with self.subTest(settings=settings):
                cls = task(x=Annotated[int, _typer.Option(**settings)])
                if isinstance(want, str):
                    with self.assertRaises(TaskError) as raised:
                        _params.context(cls, {"x": given})
                    self.assertEqual(str(raised.exception), want)
                else:
                    self.assertEqual(_params.context(cls, {"x": given}).x, want)

    def test_option_defaults(self):
        cls = task(
            flag=(Annotated[bool, _typer.Option("--flag")], False),
            old=(int, _typer.Option(3, "--old")),
            made=Annotated[List[str], _typer.Option(default_factory=list)],
        )
        self.assertEqual(vars(_params.context(cls, {})), dict(flag=False, old=3, made=[]))
        with self.assertRaisesRegex(TaskError, '^param "old" is required: set it under params$'):
            _params.context(task(old=(int, _typer.Option(...))), {})

    def test_environment_variable(self):
        cls = task(key=Annotated[str, _typer.Option(envvar=["TIGERFLOW_TEST_UNSET", "TIGERFLOW_TEST_KEY"])])
        with unittest.mock.patch.dict("os.environ", TIGERFLOW_TEST_KEY="secret"):
            self.assertEqual(_params.context(cls, {}).key, "secret")
            self.assertEqual(_params.context(cls, {"key": "given"}).key, "given")
        with self.assertRaisesRegex(TaskError, "required"):
            _params.context(cls, {})

    def test_unknown_and_missing(self):
        for cls, given, message in (
            (task(a=int, b=int), {"x": 1}, 'unknown param "x": known are a, b'),
            (task(), {"x": 1}, 'unknown param "x": Sample has none'),
            (tasks.SlurmTask, {"x": 1}, 'unknown param "x": SlurmTask has none'),
            (task(model_file=pathlib.Path), {}, 'param "model_file" is required: set it under params'),
        ):
            with self.subTest(message):
                with self.assertRaises(TaskError) as raised:
                    _params.context(cls, given)
                self.assertEqual(str(raised.exception), message)

    def test_reserved_names(self):
        for kind, name, reserved in (
            (tasks.LocalTask, "input_dir", True),
            (tasks.LocalTask, "task_name", True),
            (tasks.LocalTask, "time", False),
            (tasks.LocalAsyncTask, "concurrency_limit", True),
            (tasks.LocalAsyncTask, "memory", False),
            (tasks.SlurmTask, "memory", True),
            (tasks.SlurmTask, "concurrency_limit", False),
        ):
            with self.subTest(kind=kind, name=name):
                cls = task(kind, **{name: (str, "")})
                if reserved:
                    with self.assertRaisesRegex(TaskError, f'^param "{name}" of Sample has a reserved name: rename it'):
                        _params.context(cls, {})
                else:
                    self.assertEqual(vars(_params.context(cls, {})), {name: ""})

    def test_annotation_that_cannot_be_resolved(self):
        with self.assertRaisesRegex(TaskError, "^an annotation in Params of Sample cannot be resolved: name 'Nowhere'"):
            _params.context(task(x="Nowhere"), {})


GREETER = """
from __future__ import annotations
from enum import Enum
from pathlib import Path
from typing import Annotated, List, Optional

import typer

from tigerflow.tasks import LocalTask

class Mode(str, Enum):
    FAST = "fast"

class Greeter(LocalTask):
    class Params:
        name: Annotated[str, typer.Option(help="Whom to greet")]
        mode: Annotated[Mode, typer.Option("--mode", help="How")] = Mode.FAST
        paths: Annotated[Optional[List[Path]], typer.Option(help="Where")] = None
        count: Annotated[int, typer.Option(min=1, help="How often")] = 1

    @staticmethod
    def setup(context):
        context.seen = repr([context.name, context.mode.value, context.paths, context.count])

    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(context.seen + " " + typer.__name__)

if __name__ == "__main__":
    Greeter.cli()
"""


class HandlerParamsTest(HandlerTest):
    def test_with_the_stand_in(self):
        self.check_greeter("tigerflow._typer")

    def test_with_typer(self):
        import typer  # the stand-in, if need be

        if typer is _typer:
            self.skipTest("typer is not installed")
        if inspect.signature(typer.Option).parameters["default"].default is inspect.Parameter.empty:
            self.skipTest("typer is older than 0.9, which brought Annotated")
        self.check_greeter("typer", options=())

    def check_greeter(self, typer_name, **options):
        module = self.module(GREETER)
        params = {"name": "you", "paths": ["a"], "count": "2"}
        handler = self.ready(module, params, **options)
        want = f"{['you', 'fast', [pathlib.Path('a')], 2]!r} {typer_name}"
        self.assertEqual(self.run_file(handler, "1")[1], want)
        for given, message in (
            ({}, 'param "name" is required: set it under params'),
            ({"name": "you", "count": 0}, 'param "count" must be at least 1: it is 0'),
            ({"nam": "you"}, 'unknown param "nam": known are name, mode, paths, count'),
        ):
            with self.subTest(message):
                handler = self.start(module, **options)
                want = {"op": "failed", "stage": "params", "type": "TaskError", "message": message, "traceback": ""}
                self.assertEqual(handler.setup(given), want)
                self.assertEqual(handler.wait(), 1)

    def test_names_for_type_checkers_only(self):
        module = self.module("""
            from __future__ import annotations
            from typing import TYPE_CHECKING
            from tigerflow.tasks import LocalTask
            if TYPE_CHECKING:
                from pathlib import Path
            class A(LocalTask):
                class Params:
                    where: Path
                @staticmethod
                def run(context, input_file: Path, output_file: Path): pass
        """)
        failed = self.start(module).setup({"where": "x"})
        want = "an annotation in Params of A cannot be resolved: name 'Path' is not defined"
        self.assertEqual(failed["message"], want)

    def test_values_survive_json(self):
        module = self.module("""
            from typing import Any
            from tigerflow.tasks import LocalTask
            class A(LocalTask):
                class Params:
                    x: Any
                @staticmethod
                def run(context, input_file, output_file):
                    import json
                    output_file.write_text(json.dumps(context.x))
        """)
        value = {"text": "ü \u2028 \U0001f600", "list": [1, 2.5, None, True, {"a": []}], "long": "x" * 500_000}
        self.assertEqual(json.loads(self.run_file(self.ready(module, {"x": value}), "1")[1]), value)
