from typing import List, Optional

from tigerflow.tasks import LocalTask


class Select(LocalTask):
    class Params:
        limit: Optional[int] = None
        skip: List[int] = []
        separator: str = " "
        reverse: bool = False

    @staticmethod
    def run(context, input_file, output_file):
        words = [w for i, w in enumerate(input_file.read_text().split()) if i not in context.skip]
        words = words[: context.limit]
        output_file.write_text(context.separator.join(reversed(words) if context.reverse else words))


Select.cli()
