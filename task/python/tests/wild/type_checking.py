from __future__ import annotations

from typing import TYPE_CHECKING

from tigerflow.tasks import LocalTask

if TYPE_CHECKING:
    from pathlib import Path

    from tigerflow.utils import SetupContext


class Annotated(LocalTask):
    """A class with the name of something in typing."""

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path) -> None:
        output_file.write_text(f"{input_file.suffix} {output_file.parent == input_file.parent}")


Annotated.cli()
