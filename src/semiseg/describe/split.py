"""The front page of a split list, and of a dataset's split."""

from collections.abc import Mapping

from semiseg.base import sources
from semiseg.base.files import sha256
from semiseg.base.terminal import Page, facts, items, title
from semiseg.base.texts import some
from semiseg.data.split_lists import PARTS, part_counts, read_list
from semiseg.graph.split_lists import WORDS, caveats_of
from semiseg.params.config import Params
from semiseg.params.data import Split

KINDS = {
    "published": "published; names and order as in its source",
    "ours": "ours, not published by anyone",
    None: "not stated; give kind: published or kind: ours in the list",
}


def list_page(params: Params, name: str) -> Page:
    """Source, hash, counts and notes of a list."""
    used = [f"{dataset}/{split}" for dataset, splits in params.splits.items() for split in splits
            if splits[split].list == name]  # fmt: skip
    return [title("split list", name), *_list_blocks(name, {"used as": ", ".join(used)})]


def page(params: Params, dataset: str, name: str) -> Page:
    """A split as params.yaml defines it, with source, counts and notes of its list."""
    split = params.splits[dataset][name]
    used = [table for table, one in params.tables.items() if one.dataset == dataset
            and name in {one.split, *(row.split for row in one.rows)}]  # fmt: skip
    more = {"cases": counts_of(split), "used by": ", ".join(used)}
    blocks = [title("split", f"{dataset}/{name}")]
    if split.list is None:
        return [*blocks, facts({**more, "drawn": origin_of(split)})]
    return [*blocks, *_list_blocks(split.list, {"list": split.list, **more})]


def counts_of(split: Split, *, labelled_only: bool = False) -> str:
    """Cases of each part as text. labelled_only: for a method that ignores the unlabelled ones."""
    counts = part_counts(split)
    return in_words({**counts, "unlabelled": 0} if labelled_only else counts)


def in_words(counts: Mapping[str, int]) -> str:
    """Counts of the four parts, those without cases left out."""
    return ", ".join(f"{counts[part]} {WORDS[part]}" for part in PARTS if counts[part])


def same_but_unlabelled(first: Split, second: Split) -> bool:
    """Whether two lists have the same labelled, validation and test cases, in one order; False of drawn splits."""
    if first.list is None or second.list is None:
        return False
    one, other = read_list(first.list), read_list(second.list)
    return all(one[part] == other[part] for part in PARTS if part != "unlabelled")


def origin_of(split: Split) -> str:
    """List or seed that a split comes from."""
    if split.list is not None:
        return f"list {split.list}"
    assert split.draw is not None
    return f"drawn from the dataset's cases with seed {split.draw.seed}"


def _list_blocks(name: str, more: Mapping[str, str]) -> Page:
    content = read_list(name)
    file = sources.PACKAGE / "splits" / f"{name}.yaml"
    return [
        facts(
            {**more, "origin": KINDS[content["kind"]], "counts": in_words(content["counts"]), "sha256": sha256(file)}
        ),
        *items("source", content["source"]),
        *items("cases", (f"{WORDS[part]}: {some(content[part], 4)}" for part in PARTS if content[part])),
        *items("caveats", caveats_of(content)),
    ]
