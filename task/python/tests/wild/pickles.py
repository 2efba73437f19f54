import pickle
from collections import namedtuple
from typing import NamedTuple

from tigerflow.tasks import LocalTask

Pair = namedtuple("Pair", "left right")


class Point(NamedTuple):
    x: int
    y: int = 2


class Frozen(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_bytes(pickle.dumps([Pair(1, 2), Point(3)]))
        output_file.write_text(repr(pickle.loads(output_file.read_bytes())))


Frozen.cli()
