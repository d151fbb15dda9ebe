"""Crops equal the official ones (turn the whole volume, pad, cut), wherever they are cut and whoever prepares them."""

import threading
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from semiseg.base.errors import UserError
from semiseg.blocks.intensity import brightened
from semiseg.data.geometry import Geometry
from semiseg.data.store import PreparedCase, write_case
from semiseg.learning import batches as module
from semiseg.learning import scans
from semiseg.learning.batches import KeptOnDevice, Sampler, StoredCase, batches
from semiseg.learning.build import choose_runtime
from semiseg.learning.crops import Crop, as_stored, draw_crop, draw_second, stored_box
from semiseg.learning.order import CROP, LABELLED, STRONG, UNLABELLED, Order
from semiseg.learning.strong import changed_image, changed_label, draw_changes
from semiseg.methods.parts.tracoco_crops import overlap
from semiseg.params.augmentation import Augmentation, Strong
from semiseg.params.config import BatchSize

ALL = Augmentation(rot90=True, flip_one_of=(0, 1), flip_each=(2,))


def read_box(volume, start, size):
    """A box of an array, zero outside of it."""
    padded = np.pad(volume, 40)
    return padded[tuple(slice(s + 40, s + 40 + n) for s, n in zip(start, size, strict=True))]


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flips", [(), (0,), (1,), (2,), (0, 2), (0, 0), (1, 2, 1)])
def test_the_box_read_from_the_store_equals_the_crop_of_the_turned_volume(turns, flips):
    rng = np.random.default_rng(turns)
    volume, patch, start = rng.random((9, 13, 7)), (6, 5, 8), (-2, 3, -1)
    crop = Crop(*stored_box(start, volume.shape, patch, turns, flips), turns, flips)
    whole = np.rot90(volume, turns, (0, 1))
    for axis in flips:
        whole = np.flip(whole, axis)
    found = np.empty(patch)
    as_stored(found, crop)[:] = read_box(volume, crop.start, crop.size)
    np.testing.assert_array_equal(found, read_box(whole, start, patch))


def test_starts_cover_all_positions_but_the_last_one():
    starts = {draw_crop(np.random.default_rng(i), (12, 10, 9), (8, 8, 8), Augmentation()).start for i in range(500)}
    assert {s[0] for s in starts} == {0, 1, 2, 3}, "start is uniform in [0, 12 - 8), the end excluded"
    assert {s[1] for s in starts} == {0, 1}
    assert {s[2] for s in starts} == {0}


def test_a_short_side_pads_every_axis_as_the_official_loader_does():
    # side 6 of patch 8: (8 - 6) // 2 + 3 = 4 zeros per end; side 12: max((8 - 12) // 2 + 3, 0) = 1; side 20: 0
    starts = {draw_crop(np.random.default_rng(i), (6, 12, 20), (8, 8, 8), Augmentation()).start for i in range(800)}
    assert {s[0] for s in starts} == set(range(-4, 2))  # padded side 14, room 6
    assert {s[1] for s in starts} == set(range(-1, 5))  # padded side 14, room 6
    assert {s[2] for s in starts} == set(range(12))


@pytest.mark.parametrize(("order", "flipped"), [("first", {0, 1, 2, 3}), ("last", {1, 2, 3, 4})])
def test_a_flip_moves_the_position_that_is_never_reached_unless_the_crop_comes_first(order, flipped):
    """DHC crops first: a flipped crop starts at 0..m-1 of the stored volume; elsewhere at 1..m."""
    rule = Augmentation(flip_each=(0,), crop=order)
    crops = [draw_crop(np.random.default_rng(i), (12, 20, 20), (8, 8, 8), rule) for i in range(400)]
    assert {crop.start[0] for crop in crops if crop.flips} == flipped
    assert {crop.start[0] for crop in crops if not crop.flips} == {0, 1, 2, 3}


def test_a_crop_that_comes_first_has_the_patch_s_sides_after_its_turns():
    rule = Augmentation(rot90=True, crop="first")
    for number in range(20):
        crop = draw_crop(np.random.default_rng(number), (20, 30, 9), (8, 16, 4), rule)
        assert as_stored(np.zeros((8, 16, 4)), crop).shape == crop.size
        assert all(0 <= s <= side - n for s, side, n in zip(crop.start, (20, 30, 9), crop.size, strict=True))


def test_a_second_crop_begins_before_the_first_and_shares_a_part_with_it():
    shape, patch = (14, 11, 7), (8, 8, 8)
    volume = 1 + np.arange(np.prod(shape)).reshape(shape)
    seen = set()
    for number in range(200):
        rng = np.random.default_rng(number)
        crop = draw_crop(rng, shape, patch, Augmentation(rot90=True, flip_one_of=(0, 1)))
        second, shifts = draw_second(rng, crop, shape, patch, "half_start")
        boxes, parts = overlap(shifts, patch), []
        for one, box in zip((crop, second), boxes, strict=True):
            found = np.empty(patch, int)
            as_stored(found, one)[:] = read_box(volume, one.start, one.size)
            parts.append(found[box])
        np.testing.assert_array_equal(*parts)
        assert parts[0].shape == tuple(8 - shift for shift in shifts)
        seen |= set(shifts)
    assert seen == set(range(6)), (
        "14 voxels leave a first crop six places, and a second one five before the last of them"
    )


@pytest.mark.parametrize("rule", ["half_start", "half_crop"])
def test_a_second_crop_that_would_lie_too_far_off_is_brought_closer(rule):
    """On axis 2 the code for LA, half_start, changes nothing."""
    shape, patch = (50, 9, 60), (8, 8, 8)
    for number in range(200):
        crop = draw_crop(np.random.default_rng(number), shape, patch, Augmentation())
        _, shifts = draw_second(np.random.default_rng(1000 + number), crop, shape, patch, rule)
        drawn = np.random.default_rng(1000 + number)
        for axis, (first, shift) in enumerate(zip(crop.start, shifts, strict=True)):
            second = int(drawn.integers(0, first)) if first else 0
            if first - second > 8 and rule == "half_crop":
                second = first - 4
            elif first - second > 8 and axis < 2:
                second += first // 2
            assert shift == first - second


def test_one_flip_always_and_all_quarter_turns():
    crops = [draw_crop(np.random.default_rng(i), (20, 20, 20), (8, 8, 8), ALL) for i in range(200)]
    assert {crop.rotations for crop in crops} == {0, 1, 2, 3}
    assert all((0 in crop.flips) != (1 in crop.flips) for crop in crops)
    assert 60 < sum(2 in crop.flips for crop in crops) < 140


CPU = torch.device("cpu")
PATCH = (24, 32, 28)
SHAPES = [(40, 52, 20), (30, 70, 33), (20, 20, 20), (64, 48, 40), (51, 52, 53)]  # also shorter than the patch
AUGMENTATIONS = {
    "LA": Augmentation(rot90=True, flip_one_of=(0, 1)),
    "DHC": Augmentation(flip_each=(1, 2), crop="first"),
    "none": Augmentation(),
    "TraCoCo": Augmentation(rot90=True, flip_one_of=(0, 1), second="half_start"),
    "all": ALL,
    "a flip that another undoes": Augmentation(rot90=True, flip_one_of=(0, 1), flip_each=(0, 1, 2), crop="first"),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two labelled and three unlabelled cases with their arrays."""
    folder, rng, made = tmp_path_factory.mktemp("cases"), np.random.default_rng(3), []
    for number, shape in enumerate(SHAPES):
        image, label = rng.normal(size=shape).astype(np.float32), rng.integers(0, 5, shape).astype(np.uint8)
        path, grid = folder / f"{number}.h5", Geometry(shape, (1.0, 1.0, 1.0), np.eye(4), "zyx", shape, np.eye(4))
        write_case(path, PreparedCase(image, label if number < 2 else None, grid))
        made.append((StoredCase(path, shape), image, label))
    return made


def sampler_of(cases, name="all"):
    stored = [case for case, _, _ in cases]
    order = Order("two_loaders", 2, 3, BatchSize(labelled=2, unlabelled=2), "unlabelled")  # with smaller last steps
    return Sampler(stored[:2], stored[2:], order, PATCH, AUGMENTATIONS[name], seed=7)


def slow_crops(sampler, arrays, stream, step, numbers):
    """The crops as the official loaders cut them: each volume is turned and padded as a whole."""
    for slot, number in enumerate(numbers):
        drawn = draw_crop(
            np.random.default_rng([7, stream, CROP, step, slot]), arrays[number].shape, PATCH, sampler.augmentation
        )
        found = np.rot90(read_box(arrays[number], drawn.start, drawn.size), drawn.rotations, (0, 1))
        for axis in drawn.flips:
            found = np.flip(found, axis)
        yield found


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_batch_is_the_same_from_the_store_and_from_the_device(cases, name):
    sampler = sampler_of(cases, name)
    kept = replace(sampler, source=KeptOnDevice.of(sampler.labelled, sampler.unlabelled, CPU))
    images, labels = [image for _, image, _ in cases], [label for _, _, label in cases]
    for step in range(5):
        known, others = sampler.order.cases(7, step)
        stored, here = sampler[step].to(CPU), kept[step].to(CPU)
        assert stored.labels.dtype == here.labels.dtype == torch.int64
        for one, other in zip(stored.tensors(), here.tensors(), strict=True):
            assert one.is_contiguous() and torch.equal(one, other)
        for found, truth in (
            (stored.images[:, 0], slow_crops(sampler, images[:2], LABELLED, step, known)),
            (stored.labels, slow_crops(sampler, labels[:2], LABELLED, step, known)),
            (stored.unlabelled[:, 0], slow_crops(sampler, images[2:], UNLABELLED, step, others)),
        ):
            for crop, expected in zip(found.numpy(), truth, strict=True):
                np.testing.assert_array_equal(crop, expected)
        for origins, numbers, arrays, drawn, found in (
            (stored.labelled_origin, known, images[:2], sampler.drawn(step)[0], stored.images),
            (here.unlabelled_origin, others, images[2:], sampler.drawn(step)[1], stored.unlabelled),
        ):
            assert origins.dtype == torch.int64 and origins[:, 0].tolist() == numbers
            for (number, *start), (_, crop), cut in zip(origins.tolist(), drawn, found[:, 0].numpy(), strict=True):
                box = read_box(arrays[number], start, crop.size)
                np.testing.assert_array_equal(np.sort(box, None), np.sort(cut, None), "the box has the crop's voxels")


def quarters(crop):
    """Maps as a method derives them: of the crop's shape and of another one."""
    return {"quarter": np.digitize(crop[0], np.quantile(crop, (0.25, 0.5, 0.75))), "planes": crop.mean((0, 2, 3))}


def test_the_second_crop_of_each_item_is_of_its_scan_and_as_bright(cases, monkeypatch):
    monkeypatch.setattr("semiseg.blocks.intensity.brightness", lambda count: torch.linspace(0.8, 1.2, count))
    batch = sampler_of(cases, "TraCoCo")[0]
    bright = brightened(batch)
    assert bright.second.shape == bright.everything.shape and bright.shifts.shape == (len(batch.second), 3)
    for one in (batch, bright):
        for first, second, shifts in zip(one.everything, one.second, one.shifts.tolist(), strict=True):
            first_box, second_box = overlap(shifts, PATCH)
            assert torch.equal(first[:, *first_box], second[:, *second_box]) and first[:, *first_box].any()


@pytest.mark.parametrize("threads", [0, 3])
def test_maps_are_derived_from_each_unlabelled_crop_as_the_method_sees_it(cases, threads):
    sampler = replace(sampler_of(cases), derive=quarters)
    for step, batch in enumerate(batches(sampler, 2, 6, threads, CPU), start=2):
        assert torch.equal(batch.unlabelled, sampler_of(cases)[step].unlabelled)
        assert batch.maps.keys() == {"quarter", "planes"}
        assert batch.maps["quarter"].shape == (len(batch.unlabelled), *PATCH)
        for number, crop in enumerate(batch.unlabelled.numpy()):
            for name, expected in quarters(crop).items():
                np.testing.assert_array_equal(batch.maps[name][number].numpy(), expected)


STRONG_STEPS = Strong.model_validate(
    {
        "choose": 2,
        "steps": [
            {"step": "rotate", "axis": 1, "degrees": [-15, 15], "probability": 0.9},
            {"step": "zoom", "factor": [0.7, 1], "probability": 0.5},
            {"step": "gamma", "exponent": [0.7, 1.3], "probability": 0.9},
        ],
    }
)


@pytest.mark.parametrize("threads", [0, 3])
def test_strong_augmentation_changes_image_and_label_of_each_crop_by_seed_step_and_slot(cases, threads):
    plain = sampler_of(cases, "LA")
    strong = AUGMENTATIONS["LA"].model_copy(update={"strong": STRONG_STEPS})
    sampler = replace(plain, augmentation=strong, derive=quarters)
    for step, batch in enumerate(batches(sampler, 1, 4, threads, CPU), start=1):
        before, seen = plain[step], []
        for stream, images, changed in (
            (LABELLED, before.images, batch.images),
            (UNLABELLED, before.unlabelled, batch.unlabelled),
        ):
            for slot, image in enumerate(images.numpy()):
                changes = draw_changes(np.random.default_rng([7, stream, STRONG, step, slot]), STRONG_STEPS)
                np.testing.assert_array_equal(changed[slot, 0].numpy(), changed_image(image[0], changes))
                seen.append(changes)
                if stream == LABELLED:
                    expected = changed_label(before.labels[slot].numpy(), changes)
                    np.testing.assert_array_equal(batch.labels[slot].numpy(), expected)
        assert len({str(changes) for changes in seen}) > 1, "crops of a step differ in their changes"
        for slot, crop in enumerate(batch.unlabelled.numpy()):
            assert np.array_equal(batch.maps["quarter"][slot].numpy(), quarters(crop)["quarter"]), "after the changes"


def test_maps_that_differ_in_shape_or_would_need_crops_of_the_device_are_refused(cases):
    sampler = sampler_of(cases)
    uneven = replace(sampler, derive=lambda crop: {"bright": crop[crop > 0]})
    with pytest.raises(UserError, match=r"derives maps \{'bright': \(\d+,\)\} from one crop and \{.* from another"):
        uneven[0]
    kept = KeptOnDevice.of(sampler.labelled, sampler.unlabelled, CPU)
    with pytest.raises(UserError, match=r"^maps of the method are computed in main memory, .* the rule train to 0$"):
        replace(sampler, source=kept, derive=quarters)
    with pytest.raises(
        UserError, match=r"^strong augmentation and maps of the method are computed in main memory, but"
    ):
        augmentation = Augmentation(strong=STRONG_STEPS)
        replace(sampler, source=kept, derive=quarters, augmentation=augmentation)


def test_the_label_of_an_unlabelled_case_is_neither_read_nor_kept(cases):
    """The unlabelled cases above have none, so reading one would raise."""
    sampler = sampler_of(cases)
    kept = KeptOnDevice.of(sampler.labelled, sampler.unlabelled, CPU)
    assert kept.kept_labels.keys() == set(sampler.labelled)


def test_threads_give_the_same_batches_in_order_and_end_with_the_iterator(cases):
    sampler = sampler_of(cases)
    alone, ahead = batches(sampler, 2, 9, 0, CPU), batches(sampler, 2, 9, 3, CPU)
    for one, other in zip(alone, ahead, strict=True):
        assert all(map(torch.equal, one.tensors(), other.tensors()))
    begun = batches(sampler, 0, 10**9, 2, CPU)
    next(begun)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    begun.close()
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_a_thread_s_error_is_raised_as_it_is_at_the_step_of_its_batch(cases, tmp_path):
    gone = StoredCase(tmp_path / "gone.h5", (40, 40, 40))
    sampler = replace(sampler_of(cases), unlabelled=[sampler_of(cases).unlabelled[0], gone, gone])
    first = next(step for step in range(9) if set(sampler.order.cases(7, step)[1]) - {0})
    found = batches(sampler, 0, 9, 2, CPU)
    assert len(list(islice(found, first))) == first
    with pytest.raises(UserError, match=r"^\S+gone\.h5 is missing: run the preparation again$"):
        next(found)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_each_file_of_a_step_is_opened_once_for_its_image_and_once_for_its_label(cases, monkeypatch, threads):
    """No batch is cut twice, and at most as many ahead as the threads and two more."""
    opened = []
    for owner, name in ((scans, "read_image_crop"), (module, "read_label_crop")):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, real=real, name=name: (opened.append(name), real(*given))[1])
    endless = Order("endless", 2, 3, BatchSize(labelled=2, unlabelled=2), "unlabelled")
    found = batches(replace(sampler_of(cases), order=endless), 0, 100, threads, CPU)
    list(islice(found, 4))
    found.close()
    cut, most = opened.count("read_image_crop") / 4, 4 + (threads + module.BATCHES_AHEAD if threads else 0)
    assert 4 <= cut <= most
    assert opened.count("read_label_crop") == 2 * cut


def test_a_training_set_that_does_not_fit_the_device_is_refused(cases, monkeypatch):
    sampler = sampler_of(cases)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**20, 2**40))
    with pytest.raises(UserError, match=r"more than half of the 0\.0 GiB .* free on cuda:0: set data_on_device"):
        KeptOnDevice.of(sampler.labelled, sampler.unlabelled, torch.device("cuda:0"))


@pytest.mark.parametrize(
    ("threads", "cores", "on_device", "expected"),
    [(1, 64, False, 1), (2, 64, False, 1), (4, 64, False, 3), (64, 64, False, 4), (64, 2, False, 1), (8, 64, True, 0)],
)
def test_a_gpu_is_fed_by_the_cores_of_the_job(monkeypatch, threads, cores, on_device, expected):
    monkeypatch.setattr("semiseg.learning.build.os.sched_getaffinity", lambda process: set(range(cores)))
    before = torch.get_num_threads()
    try:
        assert choose_runtime("cuda", threads, 1.0, data_on_device=on_device).loader_threads == expected
        assert choose_runtime("cpu", threads, 1.0).loader_threads == 0, "a CPU has its own work"
    finally:
        torch.set_num_threads(before)
