"""The front page of a table: data, split, training, scoring and rows in short."""

from semiseg.base.terminal import Page, columns, facts, heading, items, title
from semiseg.dataset import get_dataset
from semiseg.describe.preparation import steps
from semiseg.describe.protocol import measuring, training
from semiseg.describe.split import caveats, counts_of, origin_of
from semiseg.graph.plan import Plan
from semiseg.params.config import Params


def page(params: Params, name: str) -> Page:
    """Dataset, preparation, split, training, scoring, rows, and every note of theirs."""
    table, plan = params.tables[name], Plan(params)
    split_of = {row.method: plan.runs(name, row.method)[0].split for row in table.rows}
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
        *items(f"preparation {protocol.preparation}", steps(preparation, kind.modality), numbered=True),
        heading("training"),
        facts(training(protocol, " ".join(preparation.axes))),
        heading("inference and scoring"),
        facts(measuring(protocol)),
        heading("rows"),
        columns(
            ("row", "method", "split", "cases"),
            (
                (
                    row.label or row.method,
                    _method(params, row.method),
                    split_of[row.method],
                    counts_of(splits[split_of[row.method]], labelled_only=plan.labelled_only(row.method)),
                )
                for row in table.rows
            ),
        ),
        *items("rows left out", [f"{method}: {reason}" for method, reason in plan.skipped(name).items()]),
        *items("caveats of the table", table.notes),
        *items(f"about the protocol {table.protocol}", protocol.notes),
        *items(f"about the split {table.split}", caveats(splits[table.split])),
        *items(f"about the dataset {kind.name}", kind.notes),
    ]


def _method(params: Params, name: str) -> str:
    variant = params.variants.get(name)
    return name if variant is None else f"{name} ({variant.method})"
