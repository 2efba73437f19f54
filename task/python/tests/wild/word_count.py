import json
import re
from collections import Counter, defaultdict

from tigerflow.tasks import LocalTask

WORD = re.compile(r"\w+")


class CountWords(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        counts = Counter(WORD.findall(input_file.read_text().lower()))
        by_count = defaultdict(list)
        for word, count in sorted(counts.items()):
            by_count[count].append(word)
        output_file.write_text(json.dumps(by_count))


CountWords.cli()
