"""The logger of task modules: lines of time, level and message on standard error.

Messages are formatted with str.format, and only when arguments are given: ``logger.info("{} of {}", done, total)``.
"""

import sys
import time

LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


class Logger:
    """Writes messages of level INFO and above."""

    threshold = LEVELS["INFO"]

    def log(self, level, message, *args, **kwargs):
        """Writes message at a level given by name; levels of the caller's own making are always written."""
        if LEVELS.get(level, self.threshold) < self.threshold:
            return
        text = str(message)
        if args or kwargs:
            text = text.format(*args, **kwargs)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        # One write a message, or the lines of threads would mix.
        sys.stderr.write(f"{now} | {level:<8} | {text}\n")

    def trace(self, message, *args, **kwargs):
        self.log("TRACE", message, *args, **kwargs)

    def debug(self, message, *args, **kwargs):
        self.log("DEBUG", message, *args, **kwargs)

    def info(self, message, *args, **kwargs):
        self.log("INFO", message, *args, **kwargs)

    def success(self, message, *args, **kwargs):
        self.log("SUCCESS", message, *args, **kwargs)

    def warning(self, message, *args, **kwargs):
        self.log("WARNING", message, *args, **kwargs)

    def error(self, message, *args, **kwargs):
        self.log("ERROR", message, *args, **kwargs)

    def critical(self, message, *args, **kwargs):
        self.log("CRITICAL", message, *args, **kwargs)

    def exception(self, message, *args, **kwargs):
        """Writes message at level ERROR, followed by the traceback of the exception in hand."""
        import traceback

        self.log("ERROR", message, *args, **kwargs)
        sys.stderr.write(traceback.format_exc())


logger = Logger()
