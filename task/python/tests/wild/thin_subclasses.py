"""A base that does the work, and thin subclasses that say how; the last one is meant."""
from pathlib import Path

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class _Strip(LocalTask):
    characters = " "

    @classmethod
    def run(cls, context: SetupContext, input_file: Path, output_file: Path):
        output_file.write_text(input_file.read_text().strip(cls.characters))


class StripStars(_Strip):
    characters = "*"


class StripDashes(_Strip):
    characters = "-"


StripDashes.cli()
