"""Two tasks in one module: the one whose cli() is called is meant."""
import tigerflow.tasks as tasks


class First(tasks.LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text("first")


class Second(First):
    @staticmethod
    def run(context, input_file, output_file):
        First.run(context, input_file, output_file)
        output_file.write_text(output_file.read_text() + " second")


def main():
    Second.cli()


if __name__ == "__main__":
    main()
