"""Names that users type: the sentence for one that does not exist."""

import difflib
from collections.abc import Iterable

from semiseg.base.errors import UserError

LISTED = 20  # more names than these are no help beside a guess


def guess(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: ``; did you mean demo?`` with the nearest names, whatever their case, or nothing."""
    folded = {one.casefold(): one for one in known}
    near = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=3)]
    return f"; did you mean {', '.join(near)}?" if near else ""


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> UserError:
    """The error for a name that does not exist. what: kind of thing; where: key path, if the name stands in a file."""
    names, place = list(known), f"{where}: " if where else ""
    near = guess(name, names)
    listed = "" if near and len(names) > LISTED else f"; known: {', '.join(names) or 'none'}"
    return UserError(f"{place}unknown {what} {name!r}{listed}{near}")
