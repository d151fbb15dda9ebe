"""Weights that are not random, as params.yaml names them: those of another run, or of a file that the user brings."""

from pydantic import model_validator

from semiseg.params.kinds import Name, Sha256, Strict, addition


class Initial(Strict):
    """Weights that a training starts from: of another run with the same dataset, split and seed, or of a file."""

    method: Name | None = addition(None, "a method or a variant, which is trained first")
    protocol: Name | None = addition(None, "the protocol that it is trained by, with the same network")
    weights: Name | None = addition(
        None, "instead of a run: the name of a file of weights, as `semiseg import-weights NAME FILE` was given it"
    )

    @model_validator(mode="after")
    def _run_or_file(self) -> "Initial":
        given = self.method is not None, self.protocol is not None, self.weights is not None
        if given not in ((True, True, False), (False, False, True)):
            raise ValueError("give method and protocol of another run, or weights, the name of a file")
        return self


class WeightsFile(Strict):
    """What is known of a file that `semiseg import-weights NAME FILE` brings; one that is not listed may come too."""

    source: str | None = addition(None, "where the file comes from, which the message on a missing one prints")
    sha256: Sha256 | None = addition(
        None, "first digits (8 or more) of the file's sha256, or all; a file with another one is refused"
    )
    standin: bool = addition(
        False, "whether random weights stand for the file, as in a rehearsal; such a row proves nothing"
    )
