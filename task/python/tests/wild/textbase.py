"""What several modules of a project share."""
from abc import abstractmethod

from tigerflow.tasks import LocalTask


class TextTask(LocalTask):
    """Reads, converts and writes; subclasses convert."""

    encoding = "utf-8"

    @classmethod
    @abstractmethod
    def convert(cls, text, context):
        ...

    @classmethod
    def run(cls, context, input_file, output_file):
        with open(input_file, encoding=cls.encoding) as source, open(output_file, "w", encoding=cls.encoding) as target:
            target.write(cls.convert(source.read(), context))
