from abc import ABC, abstractmethod

from tigerflow.tasks import LocalTask


class HasSuffix(ABC):
    @property
    @abstractmethod
    def suffix(self):
        ...


class Retrying:
    attempts = 3

    def retry(self, call):
        for attempt in range(self.attempts):
            try:
                return call(attempt)
            except OSError:
                continue
        raise RuntimeError("gave up")


class Mixed(Retrying, HasSuffix, LocalTask):
    suffix = "!"

    def run(self, context, input_file, output_file):
        def call(attempt):
            if attempt < 2:
                raise OSError
            return f"{input_file.read_text()}{self.suffix}{attempt}"

        output_file.write_text(self.retry(call))


Mixed.cli()
