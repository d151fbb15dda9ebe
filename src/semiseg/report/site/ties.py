"""Which rows of a table can be told from its best one, as its file of ties says."""

from semiseg.report.site.data import Built

APART, TOGETHER = "yes", "no"


def told_apart(built: Built) -> dict[tuple[str, str], str]:
    """(method, column) -> whether the row is told from the best of the column; nothing where the table has no ties."""
    return {}
