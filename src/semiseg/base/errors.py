"""The one exception for mistakes of a user, and the collection of several."""

import contextlib
from collections.abc import Iterator


class UserError(Exception):
    """Bad input. The message is one sentence: what was wrong, where (file, key, case), what was expected, what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class InputError(UserError):
    """Bad input of one of several jobs, while the others may be in order."""


@contextlib.contextmanager
def own_input() -> Iterator[None]:
    """Raise the UserErrors of a block, in which a job reads its own input, as ``InputError``."""
    try:
        yield
    except UserError as error:
        raise InputError(str(error)) from error


class Faults:
    """The sentences of several errors, which are raised as one."""

    MOST = 10  # that are named

    def __init__(self) -> None:
        self.sentences: list[str] = []

    @contextlib.contextmanager
    def noted(self, kind: type[UserError] = UserError) -> Iterator[None]:
        """Note an error of this kind in the block, and go on behind it."""
        try:
            yield
        except kind as error:
            self.sentences.append(str(error))

    def raise_all(self, things: str) -> None:
        """Raise the only error as it is, several with their number and the first ``MOST``. things: "files", "cases"."""
        if len(self.sentences) == 1:
            raise UserError(self.sentences[0])
        if self.sentences:
            shown, more = "; ".join(self.sentences[: self.MOST]), len(self.sentences) - self.MOST
            others = f"; and {more} more" if more > 0 else ""
            raise UserError(f"{len(self.sentences)} {things} cannot be used: {shown}{others}")
