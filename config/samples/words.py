"""Writes the most frequent words of a text file as JSON."""

import json
from collections import Counter
from pathlib import Path

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Words(LocalTask):
    class Params:
        top: int = 10

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        words = input_file.read_text(errors="replace").lower().split()
        output_file.write_text(json.dumps(Counter(words).most_common(context.top)) + "\n")


if __name__ == "__main__":
    Words.cli()
