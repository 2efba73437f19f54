"""Stands in for whisper: a model is a file of one word that is put before every text."""

from pathlib import Path


class Model:
    def __init__(self, word):
        self.word = word

    def transcribe(self, path):
        return {"text": f"{self.word} {Path(path).read_text()}"}


def load_model(path):
    return Model(Path(path).read_text().strip())
