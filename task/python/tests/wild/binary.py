import gzip
import hashlib

from tigerflow.tasks import LocalTask


class Digest(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        packed = gzip.compress(input_file.read_bytes())
        output_file.write_text(hashlib.sha256(gzip.decompress(packed)).hexdigest()[:8])


Digest.cli()
