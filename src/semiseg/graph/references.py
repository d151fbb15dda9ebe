"""Names and numbers by which sections of params.yaml fit each other; an error gives the key path.

The files of plug-ins are checked as far as they can be read. What is wrong inside of one (``sources.BrokenError``) is
reported where a table needs it, and by `semiseg check-params`: a file that is being written stops no other table.
"""

import contextlib
from collections.abc import Iterable

from semiseg import catalogue
from semiseg.base import sources
from semiseg.base.controls import PREFIX, is_control
from semiseg.base.errors import UserError
from semiseg.base.names import unknown
from semiseg.dataset import get_dataset
from semiseg.graph.shown import imported, label, shown_checkpoint, trained
from semiseg.graph.sides import crops_do_not_fit
from semiseg.params.checkpoints import scored_as
from semiseg.params.config import Params
from semiseg.params.table import Table
from semiseg.params.weights import Initial


def check_references(params: Params) -> None:
    """Raise UserError for an unknown name, a parameter that its method lacks, a crop that its network cannot take."""
    for dataset in params.datasets:
        catalogue.require("datasets", dataset, f"datasets.{dataset}")
    _check_splits(params)
    _check_methods(params)
    _check_variants_differ(params)
    _check_protocols(params)
    for name, table in params.tables.items():
        _check_table(params, name, table)


def _check_splits(params: Params) -> None:
    for dataset, splits in params.splits.items():
        catalogue.require("datasets", dataset, f"splits.{dataset}")
        for name, split in splits.items():
            if split.list is not None:
                catalogue.require("splits", split.list, f"splits.{dataset}.{name}.list")


def _check_methods(params: Params) -> None:
    for method, given in params.methods.items():
        catalogue.require("methods", method, f"methods.{method}")
        with contextlib.suppress(sources.BrokenError):
            catalogue.check_hyper(method, given, f"methods.{method}")
    for name, variant in params.variants.items():
        where = f"variants.{name}"
        if name in catalogue.entries("methods"):
            raise UserError(f"{where}: a method has this name; choose another")
        if is_control(name):
            raise UserError(f"{where}: names that begin with {PREFIX} are those of controls; choose another")
        catalogue.require("methods", variant.method, f"{where}.method")
        if variant.weights is not None and is_control(variant.method):
            raise UserError(f"{where}.weights: {variant.method} is a control, which has no weights: remove the key")
        with contextlib.suppress(sources.BrokenError):
            catalogue.check_hyper(variant.method, variant.parameters, f"{where}.parameters")
            declared = catalogue.hyperparameters(variant.method)
            base = {key: value.default for key, value in declared.items()} | dict(
                params.methods.get(variant.method, {})
            )
            if (
                variant.weights is None
                and variant.parameters
                and all(base[key] == value for key, value in variant.parameters.items())
            ):
                raise UserError(
                    f"{where}: equals its method {variant.method}; change a parameter or use the method itself"
                )


def _check_variants_differ(params: Params) -> None:
    """Raise UserError for two variants with equal hyperparameters: one run would be trained twice.

    Second names of a method train nothing, so a method may have several.
    """
    seen: dict[tuple[str, str], str] = {}
    for name, variant in params.variants.items():
        if trained(params, name) != name:
            continue
        with contextlib.suppress(sources.BrokenError):
            defaults = {key: value.default for key, value in catalogue.hyperparameters(variant.method).items()}
            effective = {**defaults, **params.methods.get(variant.method, {}), **variant.parameters}
            computed = variant.method, repr((sorted(effective.items()), variant.weights))
            first = seen.setdefault(computed, name)
            if first != name:
                raise UserError(f"variants.{name}: equals variants.{first}; keep one of the two")


def _check_protocols(params: Params) -> None:
    for name, protocol in params.protocols.items():
        where = f"protocols.{name}"
        if protocol.preparation not in params.preparations:
            known = sorted(params.preparations)
            raise unknown("preparation", protocol.preparation, known, f"{where}.preparation")
        catalogue.require("networks", protocol.network.name, f"{where}.network.name")
        with contextlib.suppress(sources.BrokenError):
            if reason := crops_do_not_fit(protocol):
                raise UserError(f"{where}.{reason}")
        _check_initial(params, name)
        for method, given in protocol.methods.items():
            catalogue.require("methods", method, f"{where}.methods.{method}")
            with contextlib.suppress(sources.BrokenError):
                catalogue.check_hyper(method, given, f"{where}.methods.{method}")


def _check_initial(params: Params, name: str) -> None:
    """Raise UserError for a protocol that starts from weights of a run that does not exist, or that cannot fit."""
    initial, seen = params.protocols[name].initial, [name]
    if initial is None or initial.method is None or initial.protocol is None:
        return
    where = f"protocols.{name}.initial"
    method, first = initial.method, initial.protocol
    if method not in params.variants:
        catalogue.require("methods", method, f"{where}.method", params.variants)
    if is_control(method):
        raise UserError(f"{where}.method: {method} is a control, which has no weights: name a method")
    if (file := imported(params, method)) is not None:
        raise UserError(
            f"{where}.method: {method} is not trained: write weights: {file} in place of method and protocol"
        )
    if first not in params.protocols:
        raise unknown("protocol", first, sorted(params.protocols), f"{where}.protocol")
    own, other = params.protocols[name].network, params.protocols[first].network
    if own != other:
        raise UserError(
            f"{where}.protocol: {first} trains {other.name} with {other.filters} filters, expected"
            f" {own.name} with {own.filters} as {name}: its weights would not fit"
        )
    following: Initial | None = initial
    while following is not None and following.protocol is not None:
        if following.protocol in seen:
            circle = " -> ".join([*seen, following.protocol])
            raise UserError(f"{where}: the pre-trainings go round in a circle ({circle}): remove one initial")
        seen.append(following.protocol)
        found = params.protocols.get(following.protocol)
        following = None if found is None else found.initial


def _check_table(params: Params, name: str, table: Table) -> None:
    where = f"tables.{name}"
    catalogue.require("datasets", table.dataset, f"{where}.dataset")
    with contextlib.suppress(sources.BrokenError):
        dataset = get_dataset(table.dataset)
        for abbreviation in table.organs:
            try:
                dataset.organ(abbreviation)
            except UserError as error:
                raise UserError(f"{where}.organs: {error}") from None
    if table.protocol not in params.protocols:
        raise unknown("protocol", table.protocol, sorted(params.protocols), f"{where}.protocol")
    splits = params.splits.get(table.dataset, {})
    named = {f"rows.{row.method}.split": row.split for row in table.rows if row.split is not None}
    for key, split in {"split": table.split, **named}.items():
        if split not in splits:
            raise unknown("split", split, sorted(splits), f"{where}.{key}")
    _check_row_protocols(params, where, table)
    _check_checkpoints(params, where, table)
    methods = [row.method for row in table.rows]
    for method in methods:
        if method not in params.variants:
            catalogue.require("methods", method, f"{where}.rows", params.variants)
    again = "give each once; a further row of it needs a second name of its own (variants, parameters {})"
    _check_once(f"{where}.rows", "method", methods, again)
    _check_once(f"{where}.rows", "label", (label(params, row) for row in table.rows))
    _check_same(params, where, table)
    _check_once(f"{where}.seeds", "seed", map(str, table.seeds))
    if len(table.seeds) > 1 and (fixed := [method for method in methods if imported(params, method) is not None]):
        raise UserError(
            f"{where}.seeds: {fixed[0]} predicts with the weights of a file, which has one run, expected one seed and"
            f" found {len(table.seeds)}: move the row to a table of its own"
        )
    _check_once(f"{where}.organs", "organ", table.organs)
    _check_once(f"{where}.metrics", "metric", table.metrics)
    if table.reference is not None and table.reference not in methods:
        raise unknown("row", table.reference, methods, f"{where}.reference")
    for block in table.printed:
        catalogue.require("published", block.paper, f"{where}.printed.paper")


def _check_row_protocols(params: Params, where: str, table: Table) -> None:
    """Raise UserError for a row whose own protocol does not exist, or whose numbers could not stand in the table."""
    shared = params.protocols[table.protocol]
    for row in table.rows:
        if row.protocol is None:
            continue
        key = f"{where}.rows.{row.method}.protocol"
        if row.protocol not in params.protocols:
            raise unknown("protocol", row.protocol, sorted(params.protocols), key)
        own = params.protocols[row.protocol]
        for part, found, expected in (
            ("preparation", own.preparation, shared.preparation),
            ("scoring", own.scoring, shared.scoring),
        ):
            if found != expected:
                raise UserError(
                    f"{key}: {row.protocol} has {part} {found}, expected {expected} as {table.protocol} of the table,"
                    " because the rows of a table are measured alike: choose a protocol that has it"
                )


def _check_checkpoints(params: Params, where: str, table: Table) -> None:
    """Raise UserError for a row that shows a checkpoint which its protocol never scores, or a control's."""
    for row in (row for row in table.rows if row.same_as is None):
        key = f"{where}.checkpoint" if row.checkpoint is None else f"{where}.rows.{row.method}.checkpoint"
        if row.checkpoint is not None and is_control(trained(params, row.method)):
            raise UserError(f"{key}: {row.method} is a control, which has no weights to choose from: remove it")
        shown, protocol = shown_checkpoint(params, table, row), row.protocol or table.protocol
        training = params.protocols[protocol].training
        if shown is not None and shown != "last" and scored_as(training, shown) is None:
            raise UserError(
                f"{key}: {shown} needs weights that are scored during training, and protocol {protocol} of row"
                f" {row.method} does not say when: give it training.selection, or leave the checkpoint out"
            )


def _check_same(params: Params, where: str, table: Table) -> None:
    """Raise UserError for a row that cannot be the computation of the row that it names, or is that of one unnamed."""
    rows = {row.method: row for row in table.rows}
    seen: dict[tuple[str | None, ...], str] = {}
    for row in table.rows:
        if row.same_as is None:
            data = row.split or table.split, row.protocol or table.protocol
            runs = trained(params, row.method), *data, shown_checkpoint(params, table, row)
            if (first := seen.setdefault(runs, row.method)) != row.method:
                raise UserError(
                    f"{where}.rows.{row.method}: has the runs of the row {first}: give it another split, protocol or"
                    f" checkpoint, or write same_as: {first}"
                )
    for row in table.rows:
        if row.same_as is None:
            continue
        key = f"{where}.rows.{row.method}.same_as"
        if row.same_as not in rows:
            raise unknown("row", row.same_as, rows, key)
        if rows[row.same_as].same_as is not None or row.same_as == row.method:
            raise UserError(f"{key}: {row.same_as} has no runs of its own: name the row that is trained")
        own, other = (
            params.variants[name].method if name in params.variants else name for name in (row.method, row.same_as)
        )
        if own != other:
            raise UserError(
                f"{key}: {row.method} is {own} and {row.same_as} is {other}, which are not the same computation: name a"
                f" row of {own}, or remove same_as"
            )


def _check_once(where: str, what: str, names: Iterable[str], remedy: str = "give each once") -> None:
    """Raise UserError for a name that occurs twice. remedy: what to do."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{where}: the {what} {name!r} occurs twice; {remedy}")
        seen.add(name)
