import csv
import statistics

from tigerflow.tasks import LocalTask


class Summary(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with input_file.open(newline="") as source:
            rows = list(csv.DictReader(source))
        with output_file.open("w", newline="") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(["column", "mean"])
            for column in rows[0]:
                writer.writerow([column, statistics.mean(float(row[column]) for row in rows)])


Summary.cli()
