"""The one exception for mistakes of a user, and the collection of several."""

import contextlib
from collections.abc import Iterator

from semiseg.base.texts import some


class UserError(Exception):
    """Bad input. The message is one sentence: what was wrong, where (file, key, case), what was expected, what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class Faults:
    """The sentences of several errors, which are raised as one."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note a UserError of the block and go on behind it."""
        try:
            yield
        except UserError as error:
            self.sentences.append(str(error))

    def raise_all(self, things: str) -> None:
        """Raise the only error as it is, several with their number and the first ten. things: "files", "cases"."""
        if len(self.sentences) == 1:
            raise UserError(self.sentences[0])
        if self.sentences:
            raise UserError(f"{len(self.sentences)} {things} cannot be used: {some(self.sentences)}")
