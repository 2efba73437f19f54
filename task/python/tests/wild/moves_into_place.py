import shutil
import tempfile
from pathlib import Path

from tigerflow.tasks import LocalTask


class Render(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "page.html"
            made.write_text(f"<p>{input_file.read_text()}</p>")
            shutil.move(str(made), str(output_file))


Render.cli()
