"""Everything that only a GPU can show, in one call of at most ten minutes: ``python benchmarks/gpu_check.py``.

Needed are a CUDA device and this package; cases are noise. Four methods train 50 steps at the published crop and batch
under float32, under AMP (float16) and under ``precision: fast``, by the training loop itself, which ends at a loss that
is no number. Rows have ms per step, with the share of the time in which the steps waited for data and the number of
synchronisations per step; and the peak memory. Then 1, 2 and 4 runs share the device, and a window slides over a
volume of the left atrium and over one of 300x512x512 voxels, beside MONAI's. Parts that would begin after ``--seconds``
are left out by name. ``--device cpu --tiny`` tries the script where there is no GPU; its numbers mean nothing.
"""

import argparse
import itertools
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measuring import Row, print_rows
from monai.inferers import sliding_window_inference

from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, write_case
from semiseg.learning.batches import KeptOnDevice, Sampler, Store, StoredCase
from semiseg.learning.build import Facts, build_method, choose_runtime
from semiseg.learning.cost import Cost, peak_bytes
from semiseg.learning.inference import slide
from semiseg.learning.loop import Trainer, start
from semiseg.learning.order import Order
from semiseg.learning.precision import Precision
from semiseg.learning.schedule import TrainingSchedule
from semiseg.params.config import Network, Protocol
from semiseg.params.reading import read

ROOT = Path(__file__).parents[1]
CASES = 4  # of each stream
GIB = 2**30
FORMATS = {  # number formats of a step, as keys of the protocol
    "float32": {"precision": "published", "amp": False},
    "AMP": {"precision": "published", "amp": True},
    "fast": {"precision": "fast"},
}


@dataclass(frozen=True)
class Subject:
    """A method, the protocol of its family, the shape of the family's volumes, and the number of classes."""

    method: str
    protocol: str
    shape: tuple[int, int, int]
    classes: int


SUBJECTS = {
    "UA-MT": Subject("ua_mt", "la", (200, 150, 88), 2),
    "CPS": Subject("cps", "dhc", (80, 160, 160), 14),
    "DHC": Subject("dhc", "dhc", (80, 160, 160), 14),
    "GuidedNet": Subject("guidednet", "guidednet", (110, 260, 320), 14),
}
VOLUMES = {"left atrium": ("la", "ua_mt", (200, 150, 88), 2), "abdomen": ("guidednet", "cps", (300, 512, 512), 14)}


@dataclass(frozen=True)
class Setting:
    """Where and how largely the script measures."""

    device: str
    tiny: bool
    folder: str

    @property
    def steps(self) -> int:
        return 1 if self.tiny else 50

    @property
    def warm_up(self) -> int:
        return 1 if self.tiny else 5

    @property
    def threads(self) -> int:
        """Cores of one run."""
        return 4 if self.here.type == "cuda" else 1

    @property
    def here(self) -> torch.device:
        return torch.device(self.device)

    def protocol(self, name: str) -> Protocol:
        found = read(ROOT / "params.yaml").protocols[name]
        if not self.tiny:
            return found
        small = {
            "patch": (32, 32, 32),
            "batch": found.training.batch.model_copy(update={"labelled": 1, "unlabelled": 1}),
        }
        window = found.inference.model_copy(update={"window": (32, 32, 32), "stride": (16, 16, 16)})
        network = Network(name=found.network.name, filters=2)
        return found.model_copy(
            update={"training": found.training.model_copy(update=small), "inference": window, "network": network}
        )

    def shape(self, full: tuple[int, int, int]) -> tuple[int, int, int]:
        return (40, 20, 34) if self.tiny else full


@dataclass(frozen=True)
class Measured:
    """One run: seconds and synchronisations per step, share of waiting, peak memory in bytes."""

    seconds: float
    waiting: float
    peak: int
    syncs: float

    @property
    def facts(self) -> str:
        return f"waiting {self.waiting:.1%}, {self.syncs:.1f} synchronisations"


def cases(setting: Setting, subject: Subject) -> list[StoredCase]:
    """Noise in the prepared store; written once."""
    shape, made = setting.shape(subject.shape), []
    grid = Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4))
    for number in range(2 * CASES):
        case = StoredCase(Path(setting.folder) / f"{subject.protocol}{number}.h5", shape)
        if not case.path.exists():
            rng = np.random.default_rng(number)
            coarse = rng.integers(0, subject.classes, [-(-side // 8) for side in shape]).astype(np.uint8)
            label = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)[tuple(map(slice, shape))]
            image = rng.normal(size=shape).astype(np.float32) + 0.1 * label
            write_case(case.path, PreparedCase(image.astype(np.float32), np.ascontiguousarray(label), grid))
        made.append(case)
    return made


def trainer(setting: Setting, subject: Subject, form: str, *, on_device: bool) -> Trainer:
    """A training as the rule ``train`` starts it, without validation."""
    protocol = setting.protocol(subject.protocol)
    length = {"iterations": 10**5, "epochs": None, "extra_epochs": 0, "validation": None, "order": "endless"}
    training = protocol.training.model_copy(update={**length, **FORMATS[form]})
    stored, runtime = (
        cases(setting, subject),
        choose_runtime(setting.device, setting.threads, 1e9, data_on_device=on_device),
    )
    order = Order("endless", CASES, CASES, training.batch, training.epoch)
    source = Store(pinned=setting.here.type == "cuda")
    sampler = Sampler(stored[:CASES], stored[CASES:], order, training.patch, training.augmentation, 1, source)
    if on_device:
        sampler = replace(sampler, source=KeptOnDevice.of(sampler.labelled, sampler.unlabelled, setting.here))
    torch.manual_seed(1)
    hyper = dict(protocol.methods.get(subject.method, {}))
    voxels = [[1e6] + [1e4] * (subject.classes - 1)] * CASES
    facts = Facts(voxels, CASES, training.patch, protocol.inference.window)
    method = build_method(subject.method, hyper, protocol.network, training, facts)
    sampler = replace(sampler, derive=method.derive)
    precision = Precision.of(training, setting.here)
    state = start(method, protocol.inference, training.optimiser, setting.here, precision)
    schedule = TrainingSchedule(training, order.steps_per_epoch, method.rate_lag)
    return Trainer(subject.method, state, sampler, schedule, {}, runtime, Path(setting.folder) / "none", "")


def go_on(run: Trainer, steps: int) -> None:
    """Run some more steps by the loop. UserError at a loss that is no number."""
    training = run.schedule.training.model_copy(update={"iterations": run.state.iteration + steps})
    run.schedule = replace(run.schedule, training=training)
    run.state.cost = Cost()
    run.run()
    run.state.history.fetch()


def measure(setting: Setting, subject: Subject, form: str, *, on_device: bool = False) -> Measured:
    """Warm up, then time some steps."""
    run = trainer(setting, subject, form, on_device=on_device)
    reset_peak(setting.here)
    go_on(run, setting.warm_up)
    with synchronisations(setting.here) as seen:
        go_on(run, setting.warm_up)
    go_on(run, setting.steps)
    cost = run.state.cost
    return Measured(
        cost.stepping / setting.steps, cost.waiting_share, peak_bytes(setting.here), len(seen) / setting.warm_up
    )


@contextmanager
def synchronisations(device: torch.device) -> Iterator[list[Any]]:
    """Torch's warnings of waits for the GPU within the block; the two of a loop's beginning and end are among them."""
    if device.type != "cuda":
        yield []
        return
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield seen
        finally:
            torch.cuda.set_sync_debug_mode("default")


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def trainings(setting: Setting, subject: Subject, name: str) -> list[Row]:
    """Rows of one method under all number formats, and with its cases on the device."""
    found = {form: measure(setting, subject, form) for form in FORMATS}
    full, rows = found["float32"], []
    for form, one in found.items():
        rows.append(
            Row(f"{name}, {form}: ms per step ({one.facts})", 1000 * one.seconds, 1000 * full.seconds, "float32")
        )
        rows.append(Row(f"{name}, {form}: peak GiB", one.peak / GIB, full.peak / GIB, "float32"))
    kept = measure(setting, subject, "fast", on_device=True)
    title = f"{name}, fast, cases on the device: ms per step ({kept.facts})"
    rows.append(Row(title, 1000 * kept.seconds, 1000 * found["fast"].seconds, "cases from the store"))
    return rows


def _one_of_several(setting: Setting, subject: Subject, together: Any, seconds: Any) -> None:
    run = trainer(setting, subject, "fast", on_device=False)
    go_on(run, setting.warm_up)
    together.wait()
    begin = time.monotonic()
    go_on(run, setting.steps)
    together.wait()
    seconds.put(time.monotonic() - begin)


def shared(setting: Setting, subject: Subject, name: str, counts: tuple[int, ...]) -> list[Row]:
    """Rows of several runs at once on one device: ms per step of all of them together."""
    context, alone, rows = multiprocessing.get_context("spawn"), 0.0, []
    cases(setting, subject)
    for count in counts:
        together, seconds = context.Barrier(count), context.Queue()
        given = (setting, subject, together, seconds)
        processes = [context.Process(target=_one_of_several, args=given) for _ in range(count)]
        for process in processes:
            process.start()
        longest = max(seconds.get(timeout=300) for _ in processes)
        for process in processes:
            process.join()
        each = 1000 * longest / (count * setting.steps)
        alone = alone or each
        rows.append(Row(f"{name}, fast, {count} runs on one device: ms per step of all", each, alone, "one run"))
    return rows


def windows(setting: Setting, name: str) -> list[Row]:
    """Rows of a sliding window over one volume, beside MONAI's with four windows a call."""
    family, method_name, full, classes = VOLUMES[name]
    protocol, device = setting.protocol(family), setting.here
    shape, rule = setting.shape(full), protocol.inference
    torch.manual_seed(1)
    facts = Facts([[1.0] * classes], 1, protocol.training.patch, rule.window)
    method = build_method(method_name, {}, protocol.network, protocol.training, facts).to(device).eval()
    networks = tuple(method.inference_networks)[:1]
    image = torch.randn(1, *shape).to(device)

    def predict(part: torch.Tensor) -> torch.Tensor:
        return method.predict(part, networks)

    def ours() -> torch.Tensor:
        return slide(predict, image, classes, rule.window, rule.stride)

    def monai() -> torch.Tensor:
        overlap = [1 - step / side for step, side in zip(rule.stride, rule.window, strict=True)]
        return sliding_window_inference(image[None], rule.window, 4, predict, overlap)[0]

    with torch.no_grad():
        costs = [_timed(call, device) for call in (ours, monai)]
    title = f"window over {name}, {'x'.join(map(str, shape))}"
    return [
        Row(f"{title}: s", costs[0][0], costs[1][0], "MONAI, 4 windows a call"),
        Row(f"{title}: peak GiB", costs[0][1] / GIB, costs[1][1] / GIB, "MONAI, 4 windows a call"),
    ]


def _timed(call: Callable[[], torch.Tensor], device: torch.device) -> tuple[float, int]:
    reset_peak(device)
    begin = time.monotonic()
    call().sum().item()  # waits for the device
    return time.monotonic() - begin, peak_bytes(device)


def main() -> None:
    """Measure part by part, print each part's rows at once, then the whole table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, to try the script")
    parser.add_argument("--seconds", type=float, default=540, help="no part begins later")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print_rows([])
        print("| no CUDA device here, so nothing was measured | | | | | | |")
        return
    began, rows, left_out = time.monotonic(), [], []
    with TemporaryDirectory() as folder:
        setting = Setting(options.device, options.tiny, folder)
        chosen = dict(itertools.islice(SUBJECTS.items(), 1)) if options.tiny else SUBJECTS
        parts: dict[str, Callable[[], list[Row]]] = {
            **{name: lambda name=name: trainings(setting, SUBJECTS[name], name) for name in chosen},
            **{f"window over {name}": lambda name=name: windows(setting, name) for name in VOLUMES},
            "several runs": lambda: shared(setting, SUBJECTS["UA-MT"], "UA-MT", (1,) if options.tiny else (1, 2, 4)),
        }
        for name, part in parts.items():
            if time.monotonic() - began > options.seconds:
                left_out.append(name)
                continue
            made = part()
            rows += made
            print(json.dumps([asdict(row) for row in made]), file=sys.stderr, flush=True)  # kept if a later part fails
    print_rows(rows)
    if left_out:
        sys.exit(f"left out for lack of time: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
