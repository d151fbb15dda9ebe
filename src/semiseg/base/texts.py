"""Numbers, sizes and lists of names as texts for people."""

from collections.abc import Iterable, Sequence


def times(sides: Iterable[float]) -> str:
    """Sides (voxels) or spacings (mm) as ``64 x 128 x 128``."""
    return " x ".join(f"{side:.10g}" for side in sides)


def counted(number: int, thing: str) -> str:
    """A number and its noun, in singular or plural: ``1 case``, ``2,000 cases``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def listed(names: Sequence[str]) -> str:
    """One name or more as in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def some(names: Sequence[str], count: int = 10) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
