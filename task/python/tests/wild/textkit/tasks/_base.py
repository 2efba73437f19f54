from tigerflow.tasks import LocalTask

from ..clean import clean


class PackageTask(LocalTask):
    class Params:
        end: str = "."

    @classmethod
    def run(cls, context, input_file, output_file):
        output_file.write_text(cls.__name__ + " " + clean(input_file.read_text()) + context.end)
