"""The front page of a table: data, split, training, scoring and rows in short."""

from semiseg.base.terminal import Page, columns, facts, heading, items, title
from semiseg.dataset import get_dataset
from semiseg.describe.oddities import Oddities
from semiseg.describe.preparation import steps
from semiseg.describe.protocol import measuring, training
from semiseg.describe.split import counts_of, origin_of, same_but_unlabelled
from semiseg.graph.plan import Plan
from semiseg.graph.shown import imported, label
from semiseg.graph.specs import Specs
from semiseg.graph.split_lists import caveats
from semiseg.params.config import Params
from semiseg.report.texts import (
    describe_checkpoints,
    describe_imported,
    describe_own_protocol,
    describe_same,
    describe_shared,
)


def page(params: Params, name: str) -> Page:
    """Dataset, preparation, split, training, scoring, rows, and every note of theirs."""
    table, plan = params.tables[name], Plan(params)
    runs = {row.method: plan.runs(name, row.method)[0] for row in table.rows}
    labels = {row.method: label(params, row) for row in table.rows}
    specs = Specs(plan)
    own, shown = specs.own_protocols(name), specs.checkpoints(name)
    kind, protocol = get_dataset(table.dataset), params.protocols[table.protocol]
    preparation, splits = params.preparations[protocol.preparation], params.splits[table.dataset]
    organs = table.organs or tuple(organ.abbreviation for organ in kind.organs)
    return [
        title("table", name, table.title),
        facts(
            {
                "in print": table.paper or "ours, not in print",
                "dataset": f"{kind.name}: {kind.title} ({kind.modality}), {kind.source}",
                "split": f"{table.split}: {counts_of(splits[table.split])}; {origin_of(splits[table.split])}",
                "protocol": table.protocol,
                "seeds": ", ".join(map(str, table.seeds)),
                "organs": ", ".join(organs),
                "metrics": ", ".join(table.metrics),
                "to build it": f"snakemake results/{name}.csv",
            }
        ),
        *items("what is odd about it", Oddities(plan, name).sentences),
        *items(f"preparation {protocol.preparation}", steps(preparation, kind.modality), numbered=True),
        heading("training"),
        facts(training(protocol, " ".join(preparation.axes))),
        heading("inference and scoring"),
        facts(measuring(protocol, table.spread)),
        heading("rows"),
        columns(
            ("row", "method", "protocol", "split", "cases"),
            (
                (
                    labels[method],
                    _method(params, method),
                    run.protocol,
                    run.split,
                    counts_of(splits[run.split], labelled_only=plan.labelled_only(method)),
                )
                for method, run in runs.items()
            ),
        ),
        *items(
            "rows on another split",
            [
                f"{labels[method]} reads no unlabelled case, and the other cases of {run.split} are those of"
                f" {table.split}: one training serves both."
                for method, run in runs.items()
                if run.split != table.split
                and plan.labelled_only(method)
                and same_but_unlabelled(splits[run.split], splits[table.split])
            ],
        ),
        *items(
            "rows with a protocol of their own",
            [describe_own_protocol(labels[method], one, table.protocol) for method, one in own.items()],
        ),
        *items(
            "rows that show other rows' runs",
            [describe_same(labels[row.method], labels[row.same_as]) for row in table.rows if row.same_as is not None],
        ),
        *items("rows that share a training", describe_shared(plan.trainings(name))),
        *items(
            "rows that show another checkpoint", describe_checkpoints({labels[row]: one for row, one in shown.items()})
        ),
        *items(
            "rows that are not trained",
            [
                describe_imported(labels[method], file)
                for method in runs
                if (file := imported(params, method)) is not None
            ],
        ),
        *items("rows left out", [f"{method}: {reason}" for method, reason in plan.skipped(name).items()]),
        *items("caveats of the table", table.notes),
        *items(f"about the protocol {table.protocol}", protocol.notes),
        *(
            block
            for one in dict.fromkeys(one.name for one in own.values())
            for block in items(
                f"about the protocol {one}",
                [note for note in params.protocols[one].notes if note not in protocol.notes],
            )
        ),
        *items(f"about the split {table.split}", caveats(splits[table.split])),
        *items(f"about the dataset {kind.name}", kind.notes),
    ]


def _method(params: Params, name: str) -> str:
    variant = params.variants.get(name)
    return name if variant is None else f"{name} ({variant.method})"
