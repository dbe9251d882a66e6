"""What a stranger's file may hold."""

from pathlib import Path


class Harm:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))
