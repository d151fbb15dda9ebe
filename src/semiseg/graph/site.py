"""What the site over all tables depends on: which tables are built, by which records, and what audits said of them.

Snakemake imports this file while it plans, so it imports nothing heavy.
"""

from pathlib import Path
from typing import Any

from semiseg.base import sources
from semiseg.base.errors import UserError
from semiseg.base.files import digest, sha256
from semiseg.graph.plan import Plan
from semiseg.jobs.record import read_plain, read_record
from semiseg.params.table_spec import as_json
from semiseg.paths import AUDITED, TABLE, VERDICTS, record_path


def site_spec(plan: Plan) -> dict[str, Any]:
    """Parameters of the rule ``site``: per table of params.yaml its state.

    definition: a hash of what params.yaml, its list of cases and the printed numbers say of it. record: the id of its
    record, where it is built. error: why that record cannot be read. audit: the verdict of the last audit of this
    record, for all rows or row by row; what is no word there is left out. audited: the day of that audit.
    """
    verdicts = _verdicts()
    return {"tables": {name: _state(plan, name, verdicts) for name in plan.params.tables}}


def definition_hash(plan: Plan, name: str) -> str:
    """Hash of what params.yaml, the split's list and the files of printed numbers say of a table."""
    table = plan.table(name)
    files = {block.paper: sha256(sources.PACKAGE / "published" / f"{block.paper}.csv") for block in table.printed}
    split = plan.split(table.dataset, table.split)
    drawn = split.list is None
    cases = [as_json(split), None if drawn else sha256(sources.PACKAGE / "splits" / f"{split.list}.yaml")]
    parts = {"table": as_json(table), "scoring": plan.protocol(table.protocol).scoring, "printed": files}
    return digest({**parts, "split": cases})[:16]


def _state(plan: Plan, name: str, verdicts: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {"definition": definition_hash(plan, name)}
    target = TABLE.format(table=name)
    where = Path(record_path(target))
    if not where.exists():
        return state
    try:
        record = read_record(where)
    except UserError as error:
        return {**state, "error": str(error)}
    state["record"] = record["id"]
    known = verdicts.get(target)
    if isinstance(known, dict) and known.get("record") == record["id"] and isinstance(known.get("rows"), dict):
        rows = {row: word for row, word in known["rows"].items() if isinstance(word, str)}
        words = set(rows.values())
        if isinstance(known.get("day"), str):
            state["audited"] = known["day"]
        state["audit"] = words.pop() if len(words) == 1 and rows == known["rows"] else rows
    return state


def _verdicts() -> dict[str, Any]:
    """What audits remember of tables; nothing where no audit was made or its file is damaged."""
    try:
        content = read_plain(Path(AUDITED) / f"{VERDICTS}.json")
    except (UserError, OSError):
        return {}
    return content if isinstance(content, dict) else {}
