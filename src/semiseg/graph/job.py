"""One job of the graph: its rule, files, parameters and code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semiseg.base.errors import UserError
from semiseg.graph.specs import Spec
from semiseg.jobs.code_hash import code_of, made_by_this_code, modules_of
from semiseg.jobs.record import read_record, recorded
from semiseg.paths import record_path

Paths = str | tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One job of a rule. inputs, outputs: names as in the rule -> paths in the project; the main output first."""

    rule: str
    inputs: Mapping[str, Paths]
    outputs: Mapping[str, str]
    spec: Spec

    @property
    def main(self) -> str:
        """The output that names the job; its lineage record lies beside it."""
        return next(iter(self.outputs.values()))

    @property
    def record(self) -> str:
        """Path of the job's lineage record."""
        return record_path(self.main)

    @property
    def read(self) -> list[str]:
        """All input paths, each once, in order."""
        flat = (path for paths in self.inputs.values() for path in ((paths,) if isinstance(paths, str) else paths))
        return list(dict.fromkeys(flat))

    @property
    def code(self) -> str:
        """Hash of the code that the job runs."""
        return code_of(self.rule, self.spec)

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that the job starts from."""
        return modules_of(self.rule, self.spec)

    def is_done(self) -> bool:
        """Whether its main output is here, with a record of these parameters and this code. No file is hashed."""
        try:
            record = read_record(self.record)
        except UserError:
            return False
        same = record["rule"] == self.rule and record["params"] == recorded(self.spec)
        return same and made_by_this_code(record) and Path(self.main).exists()
