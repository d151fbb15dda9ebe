"""Tables as typed objects: what may be written under ``tables``."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from semiseg.base.metric_names import Metric
from semiseg.params.kinds import Name, Seed, Strict, Whole

Checkpoint = Literal["last", "best_validation", "best_test"]


class Printed(Strict):
    """Where a table's printed numbers stand: a block of a file of semiseg/published."""

    paper: Name = Field(description="name of a file of semiseg/published, without .csv")
    table: str = Field(description="the table's number in that paper")
    labelled: Whole | None = Field(
        None, description="labelled cases as that table prints them; default: none, where the table has one block"
    )
    unlabelled: Whole | None = Field(
        None, description="unlabelled cases as that table prints them; default: none, where the table has one block"
    )


class Row(Strict):
    """One row of a table."""

    method: Name = Field(description="a method or a variant")
    label: str | None = Field(None, description="the row's name in this table; default: the method's name")
    printed: tuple[str, ...] = Field((), description="names of the row in print where they are not the label")
    split: Name | None = Field(None, description="the split that the row is trained on; default: the table's")
    protocol: Name | None = Field(
        None,
        description="the protocol that the row is trained by, with the table's preparation and scoring; default: the"
        " table's",
    )
    checkpoint: Checkpoint | None = Field(None, description="the weights that the row shows; default: the table's")
    same_as: Name | None = Field(
        None,
        description="another row of the table that is the same computation: its runs are shown again, under this row's"
        " names in print; default: the row has runs of its own",
    )

    @model_validator(mode="after")
    def _no_runs_of_its_own(self) -> "Row":
        given = [key for key in ("split", "protocol", "checkpoint") if getattr(self, key) is not None]
        if self.same_as is not None and given:
            raise ValueError(f"a row that is same_as {self.same_as} has its runs: remove {', '.join(given)}")
        return self


class Table(Strict):
    """One published (or our own) table: rows are methods, columns are organs and means."""

    title: str = Field(description="heading of the page")
    paper: str | None = Field(None, description="paper and table that are rebuilt; default: the table is our own")
    dataset: Name = Field(description="name of a file of semiseg/datasets, without .py")
    protocol: Name = Field(description="name of an entry of protocols")
    split: Name = Field(
        description="name of a split of the dataset; methods that ignore unlabelled cases use its labelled cases alone"
    )
    checkpoint: Checkpoint | None = Field(
        None,
        description="the weights that the rows show: the last ones, or those with the best Dice on the validation cases"
        " or on the test cases (optimistic: chosen on the test list). Rows that differ in it alone have one training."
        " Default: what each protocol keeps, the best on validation where it validates, else the last",
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(description="one run per row for each of these")
    rows: Annotated[tuple[Row, ...], Field(min_length=1)] = Field(
        description="the rows in order; a method's name alone is a row with its defaults"
    )
    reference: Name | None = Field(None, description="the row that others are tested against; default: the first")
    printed: tuple[Printed, ...] = Field(
        (), description="blocks of printed numbers; the first one that has a row counts; default: nothing is in print"
    )
    organs: tuple[str, ...] = Field(
        (), description="abbreviations of the organs in the paper's order; default: all of the dataset"
    )
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)] = Field(
        ("dice", "jaccard"), description="the means that the table prints, in order"
    )
    spread: Literal["bootstrap"] | None = Field(
        None,
        description="what stands behind the plus-minus under the published rule; bootstrap: the SD of 100 means of test"
        " cases drawn with replacement, as CRLN prints it; default: what the rule says",
    )
    notes: tuple[str, ...] = Field((), description="caveats of the published version; `semiseg describe` prints them")

    @model_validator(mode="before")
    @classmethod
    def _short_rows(cls, data: Any) -> Any:
        """A row may be just a method's name."""
        if isinstance(data, Mapping) and isinstance(data.get("rows"), list | tuple):
            rows = [{"method": row} if isinstance(row, str) else row for row in data["rows"]]
            return {**data, "rows": rows}
        return data
