try:
    import orjson_that_is_absent as fast_json
except ImportError:
    import json as fast_json

from tigerflow.tasks import LocalTask


class Parse(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(str(sorted(fast_json.loads(input_file.read_text()))))


Parse.cli()
