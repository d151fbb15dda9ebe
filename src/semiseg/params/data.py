"""Sections `datasets` and `splits` of params.yaml: where cases come from, and which part each belongs to."""

from pydantic import Field, model_validator

from semiseg.params.kinds import CaseId, Name, Natural, PositiveInt, Seed, Strict


class GenerateOptions(Strict):
    """How a synthetic dataset is drawn."""

    seed: Seed = Field(description="seed of the anatomy, the deformation and the noise")
    labelled: PositiveInt = Field(description="number of cases with a label map")
    unlabelled: Natural = Field(description="number of cases without a label map")
    size: PositiveInt = Field(description="voxels of the raw images along x and y")


class StandinOptions(Strict):
    """A synthetic twin in place of the real collection; `semiseg rehearse` writes this section."""

    seed: Seed = Field(description="seed of the drawing")
    cases: tuple[CaseId, ...] = Field(description="official ids of the cases that are drawn")


class DatasetOptions(Strict):
    """Where a dataset comes from on this machine, or how it is drawn: at most one of source, generate, standin."""

    source: str | None = Field(
        None,
        description="folder or archive with your copy of the collection, which the rule raw imports; default: the"
        " collection is downloaded where it is open, or was imported by `semiseg import`",
    )
    mirror: str | None = Field(
        None, description="base address of a server that has the open files at <host>/<path>; default: the publisher's"
    )
    generate: GenerateOptions | None = Field(None, description="how a synthetic dataset is drawn; default: it is not")
    standin: StandinOptions | None = Field(
        None, description="a synthetic twin that stands for the collection in a rehearsal; default: the real one"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "DatasetOptions":
        if sum(value is not None for value in (self.source, self.generate, self.standin)) > 1:
            raise ValueError("give at most one of source, generate, standin")
        return self


class Counts(Strict):
    """Number of cases in each part of a split."""

    labelled: PositiveInt = Field(description="training cases whose labels are used")
    unlabelled: Natural = Field(description="training cases whose labels are not used")
    val: Natural = Field(description="validation cases, on which the checkpoint is chosen")
    test: PositiveInt = Field(description="test cases, on which the table's numbers are measured")


class Drawn(Counts):
    """A split that is drawn once from the dataset's cases."""

    seed: Seed = Field(description="seed of the draw")


class Split(Strict):
    """Which cases train, validate and test: an official list by name, or drawn; exactly one of list, draw."""

    list: Name | None = Field(None, description="name of a file of semiseg/splits, without .yaml")
    draw: Drawn | None = Field(None, description="number of cases of each part, and the seed that draws them")
    first: Counts | None = Field(
        None, description="keep only the first cases of each part (rehearsals); default: all cases"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "Split":
        if (self.list is None) == (self.draw is None):
            raise ValueError("give exactly one of list, draw")
        return self
