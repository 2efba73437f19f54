"""What functions that choose the files of a pipeline are told: they take (candidates, context) and return candidates."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StagingContext:
    """A read-only view of a pipeline, of what is not among the candidates."""

    staged: int
    """Files that are staged and neither finished nor failed."""
    completed: int
    """Files that all tasks have finished."""
    failed: int
    """Files that at least one task has failed."""
    input_dir: Path
    output_dir: Path
