from enum import Enum
from typing import Annotated

import typer

from tigerflow.tasks import LocalTask


class Case(str, Enum):
    upper = "upper"
    lower = "lower"


class Recase(LocalTask):
    class Params:
        case: Annotated[Case, typer.Option(help="Which case", case_sensitive=False)] = Case.upper

    @staticmethod
    def run(context, input_file, output_file):
        convert = {Case.upper: str.upper, Case.lower: str.lower}[context.case]
        output_file.write_text(convert(input_file.read_text()))


Recase.cli()
