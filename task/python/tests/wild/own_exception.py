from tigerflow.tasks import LocalTask


class TooShort(ValueError):
    def __init__(self, path, length):
        super().__init__(f"{path.name} has {length} characters only")


class Checked(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        text = input_file.read_text()
        try:
            if len(text) < 100:
                raise TooShort(input_file, len(text))
        except TooShort as error:
            output_file.write_text(str(error))


Checked.cli()
