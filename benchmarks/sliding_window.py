"""Our sliding window beside MONAI's, with one and with four windows a batch: processor time and peak memory.

Times: all take turns in one process, on a volume of four windows. Memory: each runs in a process of its own, on a whole
volume; what counts is the highest resident memory of the process while the window slides, above what it held before
(Linux alone resets this). The script ends with an error where scores differ from MONAI's with the same batches.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import Row, alternate, main
from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from semiseg.learning.inference import slide, windows_per_batch
from semiseg.network import build


@dataclass(frozen=True)
class Case:
    """A network with its window, and the sides of a volume of four windows and of a whole one."""

    network: str
    filters: int
    classes: int
    window: tuple[int, int, int]
    four: tuple[int, int, int]
    whole: tuple[int, int, int]


CASES = {
    "left atrium, V-Net 16": Case("vnet", 16, 2, (112, 112, 80), (130, 130, 80), (183, 140, 88)),
    "abdomen, 14 classes, U-Net 8": Case("unet3d", 8, 14, (64, 160, 160), (80, 200, 160), (100, 256, 256)),
}
TINY = {"tiny, V-Net 2": Case("vnet", 2, 2, (32, 32, 16), (40, 40, 16), (40, 40, 24))}
WAYS = ("ours", "MONAI 1", "MONAI 4")


def slider(case: Case, way: str, sides: Sequence[int]) -> Callable[[], Tensor]:
    """A function that slides over a volume of noise, with strides of half a window."""
    torch.manual_seed(0)
    network = build(case.network, 1, case.classes, "default", filters=case.filters).eval()
    image = torch.randn(1, *sides)
    stride = [side // 2 for side in case.window]

    def predict(windows: Tensor) -> Tensor:
        return network(windows).softmax(1)

    @torch.inference_mode()
    def run() -> Tensor:
        if way == "ours":
            return slide(predict, image, case.classes, case.window, stride)
        together = int(way.split()[1])
        return sliding_window_inference(image[None], case.window, together, predict, 0.5, mode="constant")[0]

    return run


def times(case: Case, repeats: int) -> list[float]:
    runs = [slider(case, way, case.four) for way in WAYS]
    alike = slider(case, f"MONAI {windows_per_batch(case.window)}", case.four)
    if not torch.equal(runs[0](), alike()):
        sys.exit("scores differ from MONAI's")
    return alternate(*runs, repeats=repeats, clock=time.process_time)


def peak_mib(name: str, way: str) -> float:
    """Peak memory of one way, measured in a fresh process."""
    command = [sys.executable, __file__, "--peak", name, way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(name: str, way: str) -> None:
    torch.set_num_threads(1)
    run = slider(CASES[name], way, CASES[name].whole)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is held now
    before = resident_kib()
    run()
    print((resident_kib() - before) / 1024)


def resident_kib() -> int:
    """Highest resident memory since the last reset."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def rows(tiny: bool) -> list[Row]:
    torch.set_num_threads(1)
    found = []
    for name, case in (TINY if tiny else CASES).items():
        ours, *peers = times(case, 1 if tiny else 7)
        found += [Row(f"{name}, four windows: s", ours, peer, way) for way, peer in zip(WAYS[1:], peers, strict=True)]
        if tiny:  # memory is that of fresh processes, which import for seconds
            break
        ours, *peers = (peak_mib(name, way) for way in WAYS)
        targets = ("ours at most 1.2x", "")
        found += [
            Row(f"{name}, {' x '.join(map(str, case.whole))}: peak MiB", ours, peer, way, target=target)
            for way, peer, target in zip(WAYS[1:], peers, targets, strict=True)
        ]
    return found


if __name__ == "__main__":
    print_peak(*sys.argv[2:]) if sys.argv[1:2] == ["--peak"] else main(rows)
