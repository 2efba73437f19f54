from tigerflow.tasks import LocalTask


class Dashed(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(__name__ if __name__ != "__main__" else "main")


Dashed.cli()
