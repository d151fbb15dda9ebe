"""``semiseg describe``: the front page of anything that has a name."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial

from rich.console import Console
from rich.rule import Rule

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.base.terminal import Page, terminal
from semiseg.base.texts import listed
from semiseg.data.split_lists import list_names
from semiseg.describe import dataset, method, preparation, protocol, split, table
from semiseg.graph.plan import Plan


def describe(plan: Plan, name: str, console: Console | None = None) -> None:
    """Print the page of everything called ``name``. Raises UserError with close matches when there is nothing."""
    pages = _pages(plan)
    if not any(name in named for named in pages.values()):
        known = sorted({one for named in pages.values() for one in named})
        near = get_close_matches(name, known, n=5, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"datasets are {', '.join(pages['dataset'])}"
        raise UserError(
            f"{name!r} is no table, dataset, split (DATASET/SPLIT or a list), protocol, preparation or method: {hint}"
        )
    console = console or terminal()
    kinds = [kind for kind, named in pages.items() if name in named]
    if len(kinds) > 1:
        console.print(f"{name} is the name of {len(kinds)} things, one page each: {listed(kinds)}")
    for place, draw in enumerate(pages[kind][name] for kind in kinds):
        if place:
            console.print(Rule(style="dim"))
        for block in draw():
            console.print(block)


def _pages(plan: Plan) -> Mapping[str, Mapping[str, Callable[[], Page]]]:
    """Kind -> name -> its page. A name may be of several kinds: ``la`` is a dataset, a preparation and a protocol."""
    params = plan.params
    return {
        "table": {name: partial(table.page, params, name) for name in params.tables},
        "dataset": {name: partial(dataset.page, params, name) for name in catalogue.entries("datasets")},
        "split": {
            f"{of}/{name}": partial(split.page, params, of, name)
            for of, splits in params.splits.items()
            for name in splits
        },
        "list": {name: partial(split.list_page, params, name) for name in list_names()},
        "protocol": {name: partial(protocol.page, params, name) for name in params.protocols},
        "method": method.pages(plan),
        "preparation": {name: partial(preparation.page, params, name) for name in params.preparations},
    }
