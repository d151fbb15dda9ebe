"""The front pages of a method or a variant, and of all methods."""

import ast
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import is_control
from semiseg.base.terminal import Page, columns, facts, heading, items, title
from semiseg.graph.plan import Plan
from semiseg.graph.requirements import requirements

METHODS = "methods"


def page(plan: Plan, name: str) -> Page:
    """Title, source, hyperparameters with defaults and their sources, and what the method requires of a protocol."""
    base = plan.base(name)
    text = ast.get_docstring(_tree(base)) or ""
    head, _, more = text.partition("\n\n")
    variant = plan.params.variants.get(name)
    changed: Mapping[str, Any] = {} if variant is None else variant.parameters
    everywhere = plan.params.methods.get(base, {})
    wrapped = catalogue.wrapped(base, {**everywhere, **changed})
    rows = [
        (key, _plain({**everywhere, **changed}.get(key, hyper.default)), _meaning(hyper), hyper.source)
        for key, hyper in catalogue.hyperparameters(base).items()
    ]
    used = [table for table, one in plan.params.tables.items() if name in {row.method for row in one.rows}]
    return [
        title("method" if variant is None else "variant", name, _flat(head)),
        facts(
            {
                "source": _flat(more),
                "variant of": "" if variant is None else f"{base}, changed: {_given(changed) or 'nothing'}",
                "weights": "" if variant is None or variant.weights is None else _imported(plan, variant.weights),
                "file": f"src/semiseg/methods/{base}.py",
                "used by": ", ".join(used),
            }
        ),
        *([heading("hyperparameters"), columns(("name", "value", "meaning", "source"), rows)] if rows else []),
        *items("what it asks of a protocol", _requirements(plan, base)),
        *([] if wrapped is None else items(f"what {wrapped}, which it wraps, asks", _requirements(plan, wrapped))),
        *items("changed by protocols", _changes(plan, base)),
    ]


def list_page(plan: Plan) -> Page:
    """All methods with their titles and hyperparameters, and all variants with what they change."""
    methods = (
        (name, _flat((ast.get_docstring(_tree(name)) or "").partition("\n\n")[0]), ", ".join(_defaults(name)))
        for name in catalogue.entries(METHODS)
    )
    variants = (
        (name, one.method, _given(one.parameters) + ("" if one.weights is None else f" weights {one.weights}"))
        for name, one in plan.params.variants.items()
    )
    return [
        title("list", METHODS, "`semiseg describe METHOD` prints sources and requirements"),
        columns(("method", "what it is", "hyperparameters"), methods),
        heading("variants"),
        columns(("variant", "method", "changed"), variants),
    ]


def pages(plan: Plan) -> Mapping[str, Callable[[], Page]]:
    """Name -> page, for every method, every variant and the list of all."""
    names = (*catalogue.entries(METHODS), *plan.params.variants)
    return {METHODS: partial(list_page, plan), **{name: partial(page, plan, name) for name in names}}


def _imported(plan: Plan, weights: str) -> str:
    origin = plan.origin(weights)
    return f"{weights}, which the user brings{f' ({origin})' if origin else ''}; nothing is trained"


def _tree(method: str) -> ast.Module:
    return sources.syntax_tree(sources.PACKAGE / METHODS / f"{method}.py")


def _requirements(plan: Plan, base: str) -> Iterable[str]:
    declared = catalogue.declared(base)
    networks, teachers = declared.get("networks"), declared.get("teachers")
    if networks:
        yield f"trained networks: {', '.join(f'{name} ({entry})' for name, entry in networks.items())}"
    if teachers:
        yield f"teachers: {', '.join(f'{name} follows {followed}' for name, followed in teachers.items())}"
    if catalogue.overrides(base, "adversaries"):
        yield "modules that are trained against the networks, with an optimiser of their own"
    if declared.get("labelled_only"):
        yield "labelled cases alone: the whole batch is filled with them"
    elif not is_control(base):
        least = declared["least_unlabelled"]
        yield f"a split with {f'{least} or more ' if least > 1 else ''}unlabelled cases"
    yield from requirements(base)
    if is_control(base):
        yield "nothing: it is a control, which is not trained"


def _meaning(hyper: catalogue.Declared) -> str:
    return f"{hyper.meaning}; acts at prediction alone" if hyper.at_prediction else hyper.meaning


def _changes(plan: Plan, base: str) -> Iterable[str]:
    for name, protocol in plan.params.protocols.items():
        if given := protocol.methods.get(base):
            yield f"{name}: {_given(given)}"


def _defaults(method: str) -> Iterable[str]:
    return (f"{name} {_plain(hyper.default)}" for name, hyper in catalogue.hyperparameters(method).items())


def _given(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in given.items())


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(text: str) -> str:
    return " ".join(text.split())
