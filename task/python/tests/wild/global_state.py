"""Keeps its model in a global, as scripts do that were written before they became tasks."""
from tigerflow.tasks import LocalTask

_model = None
seen = []


def model():
    global _model
    if _model is None:
        _model = {"a": "1", "b": "2"}
    return _model


class Translate(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        seen.append(input_file)
        output_file.write_text("".join(model().get(c, c) for c in input_file.read_text()) + str(len(seen)))


Translate.cli()
