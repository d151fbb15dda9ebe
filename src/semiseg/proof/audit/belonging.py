"""Whether the rows of a table belong to the parameters and the code that are here, by records alone."""

from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.base.texts import some
from semiseg.graph.graph import Graph
from semiseg.paths import TABLE
from semiseg.proof.audit.chain import Chain, rows_of
from semiseg.proof.audit.check_files import made_from_others
from semiseg.proof.audit.check_staleness import check_wanted


def check_belonging(graph: Graph, table: str) -> None:
    """Raise UserError naming the rows of a table that were not made by the jobs of these parameters and this code.

    Records are compared, and no file is hashed, so it takes a moment. A table that is not built is not checked.
    """
    target = TABLE.format(table=table)
    if not Path(target).exists():
        return
    chain = Chain(graph, [target])
    findings = [*chain.faults(), *made_from_others(chain.links)]
    findings += [found for link in chain.links for found in check_wanted(link, graph)]
    if not findings:
        return
    wrong = {found.at for found in findings}
    rows = [row for row in rows_of(chain.of(target)) if chain.behind(row) & wrong]
    first = next((found for found in findings if found.at != target), findings[0])
    names = some([row.rpartition("/")[2].removesuffix(".csv") for row in rows]) or "the table itself"
    raise UserError(
        f"{target} does not belong to params.yaml and the code here ({names}: {first.path} {first.text}): build it with"
        f" `snakemake {target}`, without --touch and without --rerun-triggers, and call again"
    )
