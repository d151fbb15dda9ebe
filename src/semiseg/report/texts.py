"""How a table was made, in sentences: data, training, checkpoint, inference."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from semiseg.base.texts import listed
from semiseg.params.config import Inference, Training
from semiseg.params.selection import Selection
from semiseg.params.table_spec import OwnProtocol, ShownCheckpoint, TableSpec
from semiseg.params.weights import Initial

ORDERS = {
    "endless": "each list in one random order after the other",
    "two_stream": "a new random order of both lists for every pass over the labelled one",
    "two_stream_repeated": "the labelled list repeated to the unlabelled one's length, so that a case may come twice in"
    " a step",
    "two_loaders": "the labelled list repeated to the unlabelled one's length, so that a case may come twice in a step,"
    " and a smaller last step of what is left",
    "two_loaders_drop_last": "the labelled list repeated to the unlabelled one's length, so that a case may come twice"
    " in a step; what is left for a last, smaller step is dropped",
    "replaced": "each crop of any case of its list, so that a case may come twice in a step",
}
FAST = "fast (bfloat16, weights channels last, fused optimiser), not as published"
PRECISIONS = {  # by training.precision and training.amp
    ("published", False): "as published: float32",
    ("published", True): "as published: half precision (float16) on a GPU, float32 on a CPU",
    ("fast", False): FAST,
    ("fast", True): FAST,
}
PARTS = {"labelled": "labelled", "unlabelled": "unlabelled", "val": "validation", "test": "test"}


def describe_making(spec: TableSpec, split: Mapping[str, Any]) -> str:
    """One paragraph: data, split, protocol, training, checkpoint rule, inference. split: content of its file."""
    training = spec.training
    counts = ", ".join(f"{len(split[part])} {name}" for part, name in PARTS.items())
    organs = f"{len(spec.organs)} organs" if len(spec.organs) > 1 else f"one organ ({spec.organs[0].name})"
    return (
        f"{spec.collection.title} ({spec.collection.modality}, {organs}), split {split['split']}: {counts} cases; a row"
        f" trained on other cases prints its own counts. Protocol {spec.protocol}: network {spec.network.name} with"
        f" {spec.network.filters} filters, crops of {_times(training.patch)} voxels"
        f" ({' '.join(spec.preparation.axes)}), {training.batch.labelled} labelled and {training.batch.unlabelled}"
        f" unlabelled per step, {_budget(training)}. Order of the cases: {ORDERS[training.order]}. Precision of the"
        f" training: {PRECISIONS[training.precision, training.amp]}.{_scaling(spec.intensities)}{_start(spec.initial)}"
        f" {_seeds(spec.seeds)}"
        f" {_checkpoint(training)} {_inference(spec.inference, validated=training.validation is not None)}"
        f"{_forms(spec)}"
    )


def describe_own_protocol(label: str, own: OwnProtocol, shared: str) -> str:
    """A sentence on a row with a protocol of its own: each key that differs, its value there and the table's.

    label: the row's name. shared: the table's protocol.
    """
    pairs = [f"{one.key}: {value_text(one.own)} ({value_text(one.table)})" for one in own.differences]
    found = f"which differs from the table's {shared} (in brackets) in {', '.join(pairs)}"
    return f"{label} is trained by protocol {own.name}, {found if pairs else f'which equals {shared}'}."


def describe_same(label: str, other: str) -> str:
    """A sentence on a row that shows the runs of another one again. label, other: the rows' names."""
    return f"{label} is the same computation as {other}: it was trained once, and its numbers stand in both rows."


def describe_checkpoints(shown: Mapping[str, ShownCheckpoint]) -> list[str]:
    """A sentence per checkpoint that rows show and that their protocol does not keep by itself. shown: by the rows'
    names."""
    rows: dict[str, list[str]] = {}
    for name, one in shown.items():
        rows.setdefault(_shown(one), []).append(name)
    return [f"{listed(names)} {'shows' if len(names) == 1 else 'show'} {text}" for text, names in rows.items()]


def _shown(one: ShownCheckpoint) -> str:
    """The rest of a sentence about rows that show this checkpoint."""
    if one.selection is None:
        return "the last checkpoint; no case was looked at to choose it."
    cases = "validation" if one.rule == "best_validation" else "test"
    optimistic = "; test cases play no part in it" if cases == "validation" else ": CHOSEN ON THE TEST LIST, optimistic"
    return f"the checkpoint with {_best(one.selection, cases)}{optimistic}."


def _best(rule: Selection, cases: str) -> str:
    """What is the best, and when it was scored. cases: those of which list."""
    where = "whole volumes" if rule.region == "volume" else "centre crops"
    often = f"every {rule.per}" if rule.every == 1 else f"every {rule.every} {rule.per}s"
    start = f", first after {rule.first}" if rule.first else ""
    return f"the best mean Dice on {where} of the {cases} cases, measured {often}{start}"


def describe_shared(trainings: Mapping[str, Hashable]) -> list[str]:
    """A sentence per training that several rows share. trainings: per row, by its name, what names its training."""
    names: dict[Hashable, list[str]] = {}
    for name, training in trainings.items():
        names.setdefault(training, []).append(name)
    return [
        f"{listed(rows)} differ at prediction or in the checkpoint alone: one training makes their weights."
        for rows in names.values()
        if len(rows) > 1
    ]


def value_text(value: Any) -> str:
    """A value as params.yaml writes it on one line."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case Mapping():
            return f"{{{', '.join(f'{key}: {value_text(one)}' for key, one in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(value_text, value))}]"
    return str(value)


def _forms(spec: TableSpec) -> str:
    """The forms that the methods have here where a published code and a paper differ, or several codes; "" if none.

    What all rows of a method have in common is said once.
    """
    bases: dict[str, dict[str, list[str]]] = {}
    for row in (row for row in spec.rows if row in spec.runs):
        forms = [f"{name} {value}" for name, value in spec.hyper[row].items() if isinstance(value, str)]
        bases.setdefault(spec.variants[row].base if row in spec.variants else row, {})[row] = forms
    found = []
    for base, rows in bases.items():
        first, *others = rows.values()
        shared = [one for one in first if all(one in forms for forms in others)] if others else []
        found += [(f"all rows of {base}", shared)]
        found += [(spec.label(row), [one for one in forms if one not in shared]) for row, forms in rows.items()]
    said = "; ".join(f"{who}: {', '.join(forms)}" for who, forms in found if forms)
    return f" Forms of the methods: {said}." if said else ""


def _times(sides: Sequence[int]) -> str:
    return " × ".join(str(side) for side in sides)


def _budget(training: Training) -> str:
    if training.iterations:
        return f"{training.iterations} iterations"
    return f"{training.epochs} epochs" + (" and one more" if training.extra_epochs else "")


def _scaling(intensities: str) -> str:
    return " Intensities of each stored scan are scaled to 0..1 first." if intensities == "minmax" else ""


def _start(initial: Initial | None) -> str:
    if initial is None:
        return ""
    return f" Training starts from {initial_weights(initial)}."


def initial_weights(initial: Initial) -> str:
    """Which weights trainings start from: those of another run, or of a file that the user brought."""
    if initial.weights is not None:
        return f"the weights {initial.weights}, which the user brought"
    return f"the weights of {initial.method}, trained first by protocol {initial.protocol}"


def describe_imported(row: str, weights: str) -> str:
    """A sentence on a row that is not trained."""
    return f"{row} is not trained here: it predicts with the weights {weights}, which the user brought."


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"One run per row (seed {seeds[0]}): a ± of its numbers is over test cases, where their table says so."
    return f"{len(seeds)} runs per row (seeds {', '.join(map(str, seeds))})."


def _checkpoint(training: Training) -> str:
    rule = training.validation
    if rule is None:
        return "The last checkpoint is used; no case was looked at to choose it."
    return f"The checkpoint is the one with {_best(rule, 'validation')}; test cases play no part in it."


def _inference(rule: Inference, *, validated: bool) -> str:
    which = "the one that is better on validation" if validated else "the first one, because there is no validation,"
    several = {
        "one": f"where a method trains several networks, {which} predicts alone",
        "mean_logits": "where a method trains several networks, the mean of their logits is used",
    }[rule.networks]
    ends = f", first and last slices repeated {_times(rule.border)} times" if any(rule.border) else ""
    kept = " Of each predicted organ the largest component is kept." if rule.largest_component else ""
    return (
        f"At inference a window of {_times(rule.window)} voxels slides with stride {_times(rule.stride)}{ends}, softmax"
        f" scores are averaged where windows overlap; {several}.{kept}"
    )
