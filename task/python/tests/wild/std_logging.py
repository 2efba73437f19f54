import logging
import warnings

from tigerflow.tasks import LocalTask

logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(message)s")
log = logging.getLogger(__name__)
warnings.warn("at import")


class Noted(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        log.info("running %s", input_file.stem)
        output_file.write_text("noted")


Noted.cli()
