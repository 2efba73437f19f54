import tigerflow
import tigerflow.utils as utils
from tigerflow.tasks import *

assert utils.TEMP_FILE_PREFIX and tigerflow.__version__


class Starred(LocalTask):
    def run(context: utils.SetupContext, input_file, output_file):
        output_file.write_text("starred")

    run = staticmethod(run)


Starred.cli()
