"""Names by which one section of params.yaml refers to another: each must exist; an error gives the key path."""

from semiseg import catalogue
from semiseg.base.errors import UserError
from semiseg.dataset import get_dataset
from semiseg.params.config import Params
from semiseg.params.table import Table


def check_references(params: Params) -> None:
    """Raise UserError for an unknown method, parameter, network, preparation, dataset, organ, protocol or split."""
    _check_methods(params)
    _check_protocols(params)
    for name, table in params.tables.items():
        _check_table(params, name, table)


def _check_methods(params: Params) -> None:
    for method, given in params.methods.items():
        catalogue.require("methods", method, f"methods.{method}")
        catalogue.check_hyper(method, given, f"methods.{method}")
    for name, variant in params.variants.items():
        where = f"variants.{name}"
        if name in catalogue.entries("methods"):
            raise UserError(f"{where}: a method has this name; choose another")
        catalogue.require("methods", variant.method, f"{where}.method")
        catalogue.check_hyper(variant.method, variant.parameters, f"{where}.parameters")
        declared = catalogue.hyperparameters(variant.method)
        base = {key: value.default for key, value in declared.items()} | dict(params.methods.get(variant.method, {}))
        if all(base[key] == value for key, value in variant.parameters.items()):
            raise UserError(f"{where}: equals its method {variant.method}; change a parameter or use the method itself")

    _check_variants_differ(params)


def _check_variants_differ(params: Params) -> None:
    """Raise UserError for two variants with equal hyperparameters: one run would be trained twice."""
    seen: dict[tuple[str, str], str] = {}
    for name, variant in params.variants.items():
        defaults = {key: value.default for key, value in catalogue.hyperparameters(variant.method).items()}
        effective = {**defaults, **params.methods.get(variant.method, {}), **variant.parameters}
        first = seen.setdefault((variant.method, repr(sorted(effective.items()))), name)
        if first != name:
            raise UserError(f"variants.{name}: equals variants.{first}; keep one of the two")


def _check_protocols(params: Params) -> None:
    for name, protocol in params.protocols.items():
        where = f"protocols.{name}"
        if protocol.preparation not in params.preparations:
            known = ", ".join(sorted(params.preparations))
            raise UserError(f"{where}.preparation: unknown preparation {protocol.preparation!r}; known: {known}")
        catalogue.require("networks", protocol.network.name, f"{where}.network.name")
        for method, given in protocol.methods.items():
            catalogue.require("methods", method, f"{where}.methods.{method}")
            catalogue.check_hyper(method, given, f"{where}.methods.{method}")


def _check_table(params: Params, name: str, table: Table) -> None:
    where = f"tables.{name}"
    catalogue.require("datasets", table.dataset, f"{where}.dataset")
    dataset = get_dataset(table.dataset)
    for abbreviation in table.organs:
        try:
            dataset.organ(abbreviation)
        except UserError as error:
            raise UserError(f"{where}.organs: {error}") from None
    if table.protocol not in params.protocols:
        known = ", ".join(sorted(params.protocols))
        raise UserError(f"{where}.protocol: unknown protocol {table.protocol!r}; known: {known}")
    splits = params.splits.get(table.dataset, {})
    named = {f"rows.{row.method}.split": row.split for row in table.rows if row.split is not None}
    for key, split in {"split": table.split, **named}.items():
        if split not in splits:
            known = ", ".join(sorted(splits)) or "none"
            raise UserError(f"{where}.{key}: dataset {table.dataset} has no split {split!r}; it has: {known}")
    methods = [row.method for row in table.rows]
    for method in methods:
        if method not in params.variants:
            catalogue.require("methods", method, f"{where}.rows", params.variants)
            catalogue.declared(method)
    if len(set(methods)) < len(methods):
        raise UserError(f"{where}.rows: a method occurs twice; name each row once")
    if table.reference is not None and table.reference not in methods:
        raise UserError(f"{where}.reference: {table.reference!r} is no row of the table; it has: {', '.join(methods)}")
    for block in table.printed:
        catalogue.require("published", block.paper, f"{where}.printed.paper")
