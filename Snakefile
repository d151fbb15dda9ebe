# Name a table, get it rebuilt: `snakemake results/demo.csv`. Everything a rule depends on stands in params.yaml; machine
# matters (cores, GPUs, partitions) stand in profiles/.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from semiseg.base.errors import UserError
from semiseg.graph.graph import (Graph)
from semiseg.params.reading import parse_params
from semiseg.paths import (
    ARCHIVES,
    FIGURE,
    FORMS,
    PREPARED,
    RAW,
    ROW,
    RUN,
    SPLIT,
    STANDIN,
    STATE,
    TABLE,
)
from semiseg.graph.plan import Plan, Run
from semiseg.graph.specs import as_text

# the semiseg of this very environment, also where it was not activated; an activated one comes first
shell.prefix(f'export PATH="$PATH":{shlex.quote(str(Path(sys.executable).parent))}; ')


configfile: "params.yaml"


wildcard_constraints:
    dataset=r"\w+",
    preparation=r"\w+",
    protocol=r"\w+",
    split=r"\w+",
    method=r"\w+",
    seed=r"\d+",
    table=r"\w+",


include: "workflow/rules/common.smk"
include: "workflow/rules/alone.smk"


rule demo:
    """The default target: the demo table."""
    default_target: True
    input:
        TABLE.format(table="demo"),


include: "workflow/rules/data.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/table.smk"
include: "workflow/rules/figure.smk"
include: "workflow/rules/partial.smk"
include: "workflow/rules/memory.smk"
include: "workflow/rules/cluster.smk"
