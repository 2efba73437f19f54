"""Logs as TigerFlow's own tasks do."""
from tigerflow.logconfig import logger
from tigerflow.tasks import LocalTask


class Logged(LocalTask):
    @staticmethod
    def setup(context):
        logger.info("Preparing {}", "model")
        logger.bind(stage="setup").debug("not shown")

    @staticmethod
    @logger.catch(reraise=True)
    def run(context, input_file, output_file):
        logger.success("Read {n} characters", n=len(input_file.read_text()))
        try:
            {}["missing"]
        except KeyError:
            logger.opt(exception=True).warning("Handled")
        output_file.write_text("logged")


Logged.cli()
