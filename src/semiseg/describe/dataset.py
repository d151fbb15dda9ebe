"""The front page of a dataset: where from, what it holds, caveats."""

from semiseg.base.terminal import Page, columns, facts, heading, items, title
from semiseg.base.texts import counted, some
from semiseg.dataset import Part, get_dataset
from semiseg.describe.missing import how_to_get
from semiseg.describe.preparation import steps
from semiseg.describe.split import counts_of, origin_of
from semiseg.params.config import Params
from semiseg.scoring.scoring_rule_texts import rule_text


def page(params: Params, name: str) -> Page:
    """Source, licence, citation, layout, organs, parts, splits and notes."""
    kind = get_dataset(name)
    splits = params.splits.get(name, {})
    return [
        title("dataset", name, kind.title),
        facts(
            {
                "modality": kind.modality,
                "from": kind.source,
                "licence": kind.licence,
                "citation": kind.citation,
                "to get it": how_to_get(kind),
                "as published": kind.layout,
                "used by": ", ".join(table for table, one in params.tables.items() if one.dataset == name),
            }
        ),
        heading(counted(len(kind.organs), "organ")),
        columns(("id", "organ", "short"), ((str(o.id), o.name, o.abbreviation) for o in kind.organs)),
        *items("parts", (_part(part) for part in kind.parts)),
        *items("splits", (f"{split}: {counts_of(one)}; {origin_of(one)}" for split, one in splits.items())),
        *_protocols(params, name),
        *items("caveats", kind.notes),
    ]


def _protocols(params: Params, name: str) -> Page:
    """Preparation and scoring rule of every protocol that a table of this dataset follows."""
    blocks: Page = []
    for protocol in dict.fromkeys(table.protocol for table in params.tables.values() if table.dataset == name):
        one = params.protocols[protocol]
        head = f"preparation {one.preparation}, protocol {protocol}"
        blocks += items(head, steps(params.preparations[one.preparation], get_dataset(name).modality), numbered=True)
        blocks.append(facts({"scoring rule": f"{one.scoring}: {rule_text(one.scoring)}"}))
    return blocks


def _part(part: Part) -> str:
    labels = "with labels" if part.labelled else "without labels"
    way = "open" if part.open else "on registration"
    on_demand = "; only cases that a split names are imported" if part.on_demand else ""
    return f"{part.name}: {counted(len(part.cases), 'case')} {labels}, {way}: {some(part.cases, 2)}{on_demand}"
