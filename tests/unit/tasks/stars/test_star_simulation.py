from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from pydantic import ValidationError

from galadapt.core.errors import DataError
from galadapt.tasks.stars.optics import BOX, Optics, draw, transform
from galadapt.tasks.stars.settings import STAR_CLASSES, FrameCounts, SimulatedFrames
from galadapt.tasks.stars.simulate import (
    Drawn,
    bleed,
    frames_of,
    optics_of,
    simulate_frame,
    simulate_frames,
)

CALM = Optics(
    seeing=1.2,
    growth=0.0,
    shear=(0.0, 0.0),
    obscuration=0.35,
    coma=(0.0, 0.0),
    coma_corner=0.0,
    drift=0.0,
    drift_angle=0.0,
    steady=0.4,
    defocus=0.0,
    tilt=(0.0, 0.0),
)


def image(settings: SimulatedFrames, **changes: object) -> np.ndarray:
    optics = Optics(**{**CALM.__dict__, **changes})  # type: ignore[arg-type]
    return draw(transform(optics.psf(0, 0, settings), settings.pixel_scale), 0, 0)


def moments(box: np.ndarray) -> tuple[float, float, float]:
    """Centroid from the middle of the box [px] and third moment along x [px^3]."""
    rows, columns = np.mgrid[:BOX, :BOX] - BOX // 2
    x, y = (box * columns).sum(), (box * rows).sum()
    return float(x), float(y), float((box * (columns - x) ** 3).sum())


def test_default_frames_train_as_the_reference_and_test_on_more() -> None:
    settings = SimulatedFrames()
    splits = [frame.split for frame in frames_of(settings)]
    assert splits.count("train") == 53
    assert min(getattr(settings, label).test for label in STAR_CLASSES) >= 12


def test_a_star_keeps_its_flux_and_stands_where_it_is_told(small: SimulatedFrames) -> None:
    spectrum = transform(CALM.psf(0, 0, small), small.pixel_scale)
    box = draw(spectrum, 0.3, -0.4)
    assert box.sum() == pytest.approx(1, abs=1e-3)
    rows, columns = np.mgrid[:BOX, :BOX] - BOX // 2
    core = (abs(rows) < 15) & (abs(columns) < 15)
    weight = box[core].sum()
    assert (box * columns)[core].sum() / weight == pytest.approx(0.3, abs=0.01)
    assert (box * rows)[core].sum() / weight == pytest.approx(-0.4, abs=0.01)


def test_defocus_makes_a_ring_of_the_geometric_radius(small: SimulatedFrames) -> None:
    box = image(small, defocus=7.0, seeing=1.0)
    rows, columns = np.mgrid[:BOX, :BOX] - BOX // 2
    distance = np.hypot(rows, columns) * small.pixel_scale
    assert box[distance < 0.6].mean() < 0.3 * box[(distance > 4) & (distance < 6)].mean()
    # Light is spread evenly between the obscuration and the edge, so half lies within this.
    half = 7.0 * math.sqrt((1 + 0.35**2) / 2)
    assert box[distance < half].sum() == pytest.approx(0.5, abs=0.05)


def test_coma_flares_along_its_vector(small: SimulatedFrames) -> None:
    head = np.unravel_index(image(small, coma=(8.0, 0.0)).argmax(), (BOX, BOX))
    x, y, skew = moments(image(small, coma=(8.0, 0.0)))
    calm = moments(image(small))[2]
    assert x > head[1] - BOX // 2 + 1
    assert abs(y) < 0.1
    assert skew > calm + 10
    assert moments(image(small, coma=(-8.0, 0.0)))[2] < calm - 10


def test_drift_moves_the_light_along_the_trail(small: SimulatedFrames) -> None:
    x, y, _ = moments(image(small, drift=8.0, drift_angle=math.pi / 2, steady=0.5))
    before = moments(image(small))
    # Half of the light is spread evenly over the trail.
    assert y - before[1] == pytest.approx(0.5 * 4.0 / small.pixel_scale, rel=0.05)
    assert x - before[0] == pytest.approx(0, abs=0.05)


def test_strengths_lie_where_the_settings_say() -> None:
    settings = SimulatedFrames(mild=0.3, mixed=0.3)
    seen = set()
    for index in range(60):
        frame = Drawn("comet", "train", index, 1)
        optics, mild, mixed = optics_of("comet", settings, frame.generator(3), frame.place(3))
        coma = math.hypot(*optics.coma)
        seen.add((mild, mixed))
        flares = (coma > settings.residual, optics.drift > settings.residual)
        assert any(flares) and all(flares) == mixed
        assert optics.defocus <= settings.residual
        if mild:
            lowest = settings.mild_strength * min(settings.coma.low, settings.drift.low)
            assert lowest <= max(coma, optics.drift) <= settings.coma.low
    assert seen == {(True, False), (False, True), (False, False)}
    frame = Drawn("circular", "train", 0, 1)
    calm, *kind = optics_of("circular", settings, frame.generator(3), frame.place(3))
    assert max(*map(abs, calm.coma), calm.drift, calm.defocus) <= settings.residual
    assert kind == [False, False]


def test_a_mixed_donut_keeps_its_hole() -> None:
    settings = SimulatedFrames(mixed=1.0, mild=0.0)
    for index in range(20):
        frame = Drawn("donut", "test", index, 1)
        optics, _, mixed = optics_of("donut", settings, frame.generator(3), frame.place(3))
        assert mixed
        assert 0.25 <= math.hypot(*optics.coma) / optics.defocus <= 0.5


@pytest.mark.parametrize("seed", range(10))
def test_a_handful_of_frames_holds_every_case(seed: int) -> None:
    settings = SimulatedFrames()
    frames = [Drawn("comet", "train", index, 1) for index in range(8)]
    made = [
        optics_of("comet", settings, frame.generator(seed), frame.place(seed)) for frame in frames
    ]
    kinds = [(mild, mixed) for _, mild, mixed in made]
    assert all(1 <= kinds.count(kind) <= 3 for kind in ((True, False), (False, True)))
    seeing = sorted(optics.seeing for optics, *_ in made)
    assert seeing[0] < 1.6 and seeing[-1] > 1.9
    places = np.array([frame.place(seed) for frame in frames])
    assert (places >= 0).all() and (places < 1).all()
    assert not np.allclose(places, [frame.place(seed + 1) for frame in frames])


def test_frames_are_the_same_whatever_the_others_and_the_processes(
    tmp_path: Path, small: SimulatedFrames
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    few = small.model_copy(update={"circular": FrameCounts(train=1, validation=0, test=1)})
    simulate_frames(small, 5, one / "frames", one / "frames.csv", {"version": 1}, processes=2)
    simulate_frames(few, 5, two / "frames", two / "frames.csv", {"version": 1})
    table = pd.read_csv(one / "frames.csv")
    assert len(table) == 9 and len(pd.read_csv(two / "frames.csv")) == 8
    for path in sorted((two / "frames").iterdir()):
        assert path.read_bytes() == (one / "frames" / path.name).read_bytes()
    assert {path.name for path in one.iterdir()} == {"frames", "frames.csv"}
    with fits.open(one / table["frame"][0]) as hdus:
        assert hdus[0].data.dtype == np.uint16
        assert hdus[0].header["LABEL"] == table["label"][0]
        assert hdus[0].header["SATURATE"] == small.saturation
        assert '"version":1' in str(hdus[0].header["HISTORY"])


def test_frames_of_other_settings_are_not_mixed_in(tmp_path: Path, small: SimulatedFrames) -> None:
    (tmp_path / "comet_train_0007.fits").touch()
    with pytest.raises(DataError, match=r"contains .comet_train_0007\.fits., which is no frame"):
        simulate_frames(small, 5, tmp_path, tmp_path.with_suffix(".csv"), {})
    assert [path.name for path in tmp_path.iterdir()] == ["comet_train_0007.fits"]


def test_another_seed_gives_another_frame(small: SimulatedFrames) -> None:
    frame = Drawn("circular", "test", 0, 1.0)
    first, truth = simulate_frame(frame, small, 1)
    second, _ = simulate_frame(frame, small, 2)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, simulate_frame(frame, small, 1)[0])
    assert truth["stars"] > 0


def test_noise_is_that_of_the_photons_and_the_readout(small: SimulatedFrames) -> None:
    empty = small.model_copy(update={"star_density": 1e-6, "sky_gradient": 0.0})
    pixels, _ = simulate_frame(Drawn("circular", "test", 0, 1.0), empty, 4)
    sky = (pixels.mean() - empty.bias) * empty.gain
    expected = math.sqrt(sky + empty.read_noise**2 + empty.gain**2 / 12) / empty.gain
    assert pixels.std() == pytest.approx(expected, rel=0.02)


def test_bleeding_keeps_the_charge_in_its_column() -> None:
    charge = np.zeros((41, 3))
    charge[20, 1] = 900.0
    charge[10, 1] = 50.0
    bleed(charge, 100.0)
    assert charge.max() == 100.0
    assert charge.sum() == pytest.approx(950.0)
    assert charge[:, [0, 2]].sum() == 0
    assert np.flatnonzero(charge[12:29, 1] > 0).tolist() == list(range(4, 13))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"saturation": 900.0}, "bias 1000 leaves no room below saturation 900"),
        ({"seeing": [0.5, 2.0]}, "undersampled by pixels of 0.58 arcsec; begin at 0.87"),
        ({"bright_limit": 18.0}, "bright_limit 18 must be below faint_limit 17.5"),
        ({"coma": [5.0, 30.0]}, "coma must lie above 0 and within 15 arcsec"),
        ({"obscuration": [0.3, 1.2]}, r"\[0.3, 1.2\] must lie inside \[0, 0.95\]"),
        ({"mild": 0.7, "mixed": 0.6}, "mild 0.7 and mixed 0.6 must not exceed 1"),
        ({"star_density": 5000.0}, "star_density, crowding and side may give 200000"),
        (
            {
                name: {"train": 0, "validation": 1, "test": 1}
                for name in ("circular", "comet", "donut")
            },
            "no class has a frame for train",
        ),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SimulatedFrames.model_validate(changes)
