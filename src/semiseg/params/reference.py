"""docs/params.md: every key of params.yaml, as the models of ``config.py`` describe it."""

import inspect
from collections.abc import Iterator, Mapping

from semiseg.params.config import Params
from semiseg.params.sentences import Schema, plain, type_in_words

HEAD = """\
<!-- Written by `make schema` from src/semiseg/params; a test fails when it is older than these files. -->
# params.yaml, key by key

`params.yaml` holds every number of every experiment. The machine's matters (cores, memory, partitions) stand in
`profiles/`. `semiseg check-params` checks the file and starts nothing; an unknown key is an error that
lists the known ones.

- **Sections refer to each other by name.** A table names its dataset, protocol and split; a protocol names its
  preparation.
- **A row may name a protocol of its own,** whose preparation and scoring are those of the table's.
- **Entries inherit by YAML.** `&name` marks an entry, and `<<: *name` at the top of another one takes over its keys.
  Keys that follow replace those taken over, and a nested section is replaced as a whole.
- **Hyperparameters of a method** are looked up in this order: the variant, `methods` of the protocol, `methods` at the
  top level, the default in the method's file.

## What a change reruns

| changed | what is made again |
| --- | --- |
| `datasets`: origin of the data | the raw folder; then only what its content changes |
| `preparations` | prepared cases, and all runs of the protocols that use them |
| `splits` | the runs on this split, if a list of cases changes |
| `protocols`: network, training, inference | the runs of the protocol |
| `protocols`: scoring | rows and tables |
| `methods`, `variants` | the runs of this method or variant |
| `tables`: rows, seeds | the runs that are not there yet, and the table |
| `tables`: title, notes, labels, organs, metrics | rows or the table alone |

`snakemake -n results/TABLE.csv` lists exactly which jobs.
"""


def reference() -> str:
    """The whole page as Markdown."""
    schema = Params.model_json_schema()
    return HEAD + "".join(_section(title, model) for title, model in _models(schema))


def _models(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every model of the schema once, from the outside inwards, with the key path at which it stands first."""
    definitions = schema["$defs"]
    pending, seen = [("the top level", schema)], set()
    while pending:
        path, model = pending.pop(0)
        yield path, model
        prefix = "" if model is schema else f"{path}."
        for key, field in model["properties"].items():
            for name, suffix in _named(field):
                if name not in seen:
                    seen.add(name)
                    pending.append((f"{prefix}{key}{suffix}", definitions[name]))


def _named(field: Schema, suffix: str = "") -> Iterator[tuple[str, str]]:
    """Names of the models in a field's type, each with what follows its key: ``.NAME`` or ``[]``."""
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2], suffix
    for part in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _named(part, suffix)
    if isinstance(field.get("items"), Mapping):
        yield from _named(field["items"], f"{suffix}[]")
    inner = field.get("additionalProperties", next(iter(field.get("patternProperties", {}).values()), None))
    if isinstance(inner, Mapping):
        yield from _named(inner, f"{suffix}.NAME")


def _section(title: str, model: Schema) -> str:
    text = " ".join(inspect.cleandoc(model.get("description", "")).split())
    required = model.get("required", ())
    lines = [
        f"| `{key}` | {_cell(type_in_words(field))} | {_default(field, key in required)} |"
        f" {_cell(field.get('description', ''))} |\n"
        for key, field in model["properties"].items()
    ]
    fixed = [f"{key}: {field['const']}" for key, field in model["properties"].items() if "const" in field]
    heading = title if title == "the top level" else f"`{title}`{''.join(f' with `{part}`' for part in fixed)}"
    return (
        f"\n## {heading}\n\n{text}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n{''.join(lines)}"
    )


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    return "" if default in (None, [], {}) else f"`{plain(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
