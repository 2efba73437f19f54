from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from tigerflow.tasks import LocalTask


@dataclass(order=True)
class Word:
    count: int
    text: str = field(compare=False)


class Longest(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        words = [Word(len(text), text) for text in input_file.read_text().split()]
        output_file.write_text(json.dumps(asdict(max(words))))


Longest.cli()
