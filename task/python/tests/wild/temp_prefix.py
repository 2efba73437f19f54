from tigerflow.tasks import LocalTask
from tigerflow.utils import TEMP_FILE_PREFIX


class Tidy(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        others = [p.name for p in input_file.parent.iterdir() if p.name.startswith(TEMP_FILE_PREFIX)]
        output_file.write_text(str(len(others)))


Tidy.cli()
