import json
from typing import TypedDict

from tigerflow.tasks import LocalTask


class Record(TypedDict, total=False):
    id: int
    text: str


class Records(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        records = [Record(id=i, text=line) for i, line in enumerate(input_file.read_text().split())]
        output_file.write_text(json.dumps(records))


Records.cli()
