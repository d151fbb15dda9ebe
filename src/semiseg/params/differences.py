"""Where two parts of params.yaml differ, key by key."""

from collections.abc import Iterator, Mapping
from typing import Any

from semiseg.params.table_spec import Difference


def differences(own: Mapping[str, Any], table: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The keys whose values differ, in the order of params.yaml. A section that one side lacks is one difference.

    own, table: sections as JSON holds them, of a row's protocol and of its table's.
    """
    return tuple(_different(own, table, ""))


def _different(own: Any, table: Any, path: str) -> Iterator[Difference]:
    if isinstance(own, Mapping) and isinstance(table, Mapping):
        for key in dict.fromkeys((*own, *table)):
            yield from _different(own.get(key), table.get(key), f"{path}.{key}" if path else key)
    elif own != table:
        yield Difference(key=path, own=own, table=table)
