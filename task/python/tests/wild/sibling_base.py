from textbase import TextTask


class Title(TextTask):
    @classmethod
    def convert(cls, text, context):
        return text.title()


if __name__ == "__main__":
    Title.cli()
