"""Similarity of every pair of scans, in blocks that fit a worker's memory. Finished blocks are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product
from pathlib import Path

from semiseg.base.files import digest, read_json, write_json
from semiseg.base.parallel import each
from semiseg.data.splitcheck.facts import Facts
from semiseg.data.splitcheck.similarity import Comparable, Signature, common_grid_mm, padded_size, similarity
from semiseg.jobs.code_hash import code_hash

BLOCK = 24  # scans a side
CLOSEST = 0.6  # pairs below this score are of no interest


@dataclass(frozen=True)
class Pair:
    """Two cases and their similarity, at most 1."""

    one: str
    other: str
    score: float


@dataclass(frozen=True)
class _Block:
    rows: Sequence[Signature]
    columns: Sequence[Signature]
    within: bool  # rows and columns are the same scans
    grid_mm: float
    size: tuple[int, ...]
    cache: Path


def close_pairs(facts: Sequence[Facts], cache: Path, workers: int) -> list[Pair]:
    """Pairs of cases with a similarity of at least 0.6, the most similar first."""
    if len(facts) < 2:
        return []
    facts = sorted(facts, key=lambda one: one.case)  # splits of the same cases share their blocks
    signatures = [one.signature for one in facts]
    grid = common_grid_mm(signatures)
    size = padded_size(signatures, grid)
    made_from = [grid, list(size), code_hash("semiseg.data.splitcheck.pairs")]
    groups = [facts[start : start + BLOCK] for start in range(0, len(facts), BLOCK)]
    chosen = list(combinations_with_replacement(groups, 2))
    blocks = [_block(rows, columns, rows is columns, grid, size, cache, made_from) for rows, columns in chosen]
    scores = each(_compared, blocks, workers, "compare scans", "block")
    found = [
        Pair(rows[first].case, columns[second].case, score)
        for (rows, columns), block in zip(chosen, scores, strict=True)
        for first, second, score in block
    ]
    return sorted(found, key=lambda pair: (-pair.score, pair.one, pair.other))


def _block(
    rows: Sequence[Facts],
    columns: Sequence[Facts],
    within: bool,
    grid_mm: float,
    size: tuple[int, ...],
    cache: Path,
    made_from: list[object],
) -> _Block:
    keys = [[one.key for one in rows], [one.key for one in columns]]
    file = cache / f"pairs-{digest([within, *keys, *made_from])[:32]}.json"
    return _Block([one.signature for one in rows], [one.signature for one in columns], within, grid_mm, size, file)


def _compared(block: _Block) -> list[tuple[int, int, float]]:
    if not block.cache.exists():
        rows = [Comparable(one, block.grid_mm) for one in block.rows]
        columns = rows if block.within else [Comparable(one, block.grid_mm) for one in block.columns]
        places = combinations(range(len(rows)), 2) if block.within else product(range(len(rows)), range(len(columns)))
        scores = [(i, j, round(similarity(rows[i], columns[j], block.size), 6)) for i, j in places]
        write_json(block.cache, [score for score in scores if score[2] >= CLOSEST])
    return [(one, other, score) for one, other, score in read_json(block.cache)]
