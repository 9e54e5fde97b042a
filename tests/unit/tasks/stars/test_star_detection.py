from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from star_fields import SCALE, field, ring

from galadapt.tasks.stars.cutting import REASONS, cut
from galadapt.tasks.stars.detection import find_stars
from galadapt.tasks.stars.frames import Frame, read_frame
from galadapt.tasks.stars.settings import FrameFiles, SimulatedFrames, StarDetection
from galadapt.tasks.stars.simulate import Drawn, simulate_frame

Saved = Callable[..., Path]

PLACES = [(60.2, 55.0), (140.0, 60.7), (100.5, 140.1)]
FILES = FrameFiles(path="frames.csv", pixel_scale=SCALE)


def frame_of(pixels: np.ndarray, saved: Saved, **settings: object) -> tuple[Frame, StarDetection]:
    detection = StarDetection.model_validate({"stamp_size": 40, **settings})
    return read_frame(saved("frame.fits", pixels), detection, FILES), detection


@pytest.mark.parametrize("detector", ["daofind", "segmentation", "auto"])
def test_every_star_is_found_once_where_it_stands(detector: str, saved: Saved) -> None:
    frame, detection = frame_of(field(PLACES), saved, detector=detector)
    found = find_stars(frame, detection)
    assert found.detector == ("segmentation" if detector == "segmentation" else "daofind")
    places = sorted(zip(found.stars["x_centroid"], found.stars["y_centroid"], strict=True))
    assert np.allclose(places, sorted(PLACES), atol=0.15)
    assert found.tries == 1
    assert frame.noise == pytest.approx(5, rel=0.05)


def test_defocused_stars_are_found_once_each(saved: Saved) -> None:
    pixels = field([])
    for x, y in PLACES:
        pixels += ring(x, y, 200, 10, 40_000)
    frame, detection = frame_of(pixels, saved)
    found = find_stars(frame, detection)
    assert found.detector == "segmentation"
    assert found.hollowness < 0.5
    places = sorted(zip(found.stars["x_centroid"], found.stars["y_centroid"], strict=True))
    assert np.allclose(places, sorted(PLACES), atol=0.5)
    # The other detector has no peak in the middle of a ring, which is why there are two.
    other = find_stars(frame, detection.model_copy(update={"detector": "daofind"})).stars
    for x, y in PLACES:
        assert (np.hypot(other["x_centroid"] - x, other["y_centroid"] - y) > 3).all()


@pytest.mark.parametrize("label", ["circular", "comet", "donut"])
def test_auto_chooses_by_the_class(label: str, small: SimulatedFrames, saved: Saved) -> None:
    settings = small.model_copy(update={"side": 400, "mild": 0.0})
    right = 0
    for index in range(2):
        pixels, _ = simulate_frame(Drawn(label, "train", index, 0.7), settings, 11)
        frame = read_frame(saved("frame.fits", pixels), StarDetection(), FILES)
        chosen = find_stars(frame, StarDetection()).detector
        right += chosen == ("segmentation" if label == "donut" else "daofind")
    assert right == 2


def test_with_few_stars_threshold_and_fwhm_are_lowered(saved: Saved) -> None:
    pixels = field(PLACES[:1]) + field(PLACES[1:], flux=2500) - 500
    frame, detection = frame_of(pixels, saved, detector="daofind", threshold=60.0)
    found = find_stars(frame, detection)
    assert len(found.stars) == 3
    assert found.tries > 1
    assert found.threshold == pytest.approx(60 * 0.8 ** (found.tries - 1))
    assert found.fwhm == pytest.approx(4 * 0.97 ** (found.tries - 1))
    one = detection.model_copy(update={"min_stars": 1})
    assert len(find_stars(frame, one).stars) == 1


def test_an_empty_sky_is_tried_down_to_the_floor(saved: Saved) -> None:
    frame, detection = frame_of(field([]), saved, threshold_floor=7.0)
    found = find_stars(frame, detection)
    assert len(found.stars) == 0
    assert found.threshold == 7.0


def test_bad_pixels_are_no_stars(saved: Saved) -> None:
    pixels = field(PLACES)
    pixels[20:180:20, 30] = 900
    frame, detection = frame_of(pixels, saved, detector="auto", threshold=10.0)
    assert len(find_stars(frame, detection).stars) == 3


def test_stars_leave_with_their_reason(saved: Saved) -> None:
    places = [
        (10.0, 100.0),
        (60.0, 60.0),
        (80.0, 60.0),
        (140.0, 60.0),
        (140.0, 140.0),
        (60.0, 150.0),
    ]
    pixels = field(places[:2] + places[3:]) + field(places[2:3], flux=9000, seed=2) - 500
    pixels[155, 150] = np.nan
    pixels[pixels > 1000] = 1000
    pixels[60, 140] = 5000
    frame, detection = frame_of(pixels, saved, reject=["saturated"], detector="segmentation")
    files = FILES.model_copy(update={"saturation": 4000.0})
    frame = read_frame(saved("frame.fits", pixels), detection, files)
    done = cut(frame, find_stars(frame, detection), detection)
    reasons = {
        (round(row.x_centroid), round(row.y_centroid)): row.reason
        for row in done.rejected.itertuples()
    }
    assert reasons == {
        (10, 100): "border",
        (80, 60): "overlap",
        (140, 60): "saturated",
        (140, 140): "bad_pixels",
    }
    assert set(done.rejected["reason"]) <= set(REASONS)
    assert sorted(done.stars["y_centroid"].round()) == [60, 150]


@pytest.mark.parametrize(("overlap", "kept"), [("keep", 3), ("drop_all", 1), ("keep_brightest", 2)])
def test_overlapping_boxes(overlap: str, kept: int, saved: Saved) -> None:
    pixels = field([(60.0, 60.0)], flux=30_000) + field([(90.0, 60.0), (140.0, 140.0)]) - 500
    frame, detection = frame_of(pixels, saved, overlap=overlap)
    done = cut(frame, find_stars(frame, detection), detection)
    assert len(done.stars) == kept
    if overlap == "keep_brightest":
        assert done.stars["flux"].iloc[0] > 20_000
        assert done.rejected["value"].tolist() == [1]


def test_boxes_that_touch_do_not_overlap(saved: Saved) -> None:
    frame, detection = frame_of(field([(60.0, 60.0), (100.0, 60.0), (100.0, 140.0)]), saved)
    assert len(cut(frame, find_stars(frame, detection), detection).stars) == 3


def test_the_star_stands_in_the_middle_of_its_stamp_without_sky(saved: Saved) -> None:
    frame, detection = frame_of(field([(60.0, 55.0), *PLACES[1:]]), saved)
    done = cut(frame, find_stars(frame, detection), detection)
    assert done.stamps.shape == (3, 40, 40) and done.stamps.dtype == np.float32
    row = done.stars.index[done.stars["x_centroid"].round() == 60][0]
    assert np.unravel_index(done.stamps[row].argmax(), (40, 40)) == (20, 20)
    assert np.median(done.stamps[row]) == pytest.approx(0, abs=2)
    assert done.stars["sky"].iloc[0] == pytest.approx(500, abs=3)


@pytest.mark.parametrize("fwhm", [3.0, 6.0])
def test_fwhm_is_that_of_the_star(fwhm: float, saved: Saved) -> None:
    frame, detection = frame_of(field(PLACES, fwhm=fwhm, flux=60_000), saved)
    done = cut(frame, find_stars(frame, detection), detection)
    assert np.allclose(done.stars["fwhm"], fwhm, rtol=0.03)
    assert np.allclose(done.stars["fwhm_arcsec"], done.stars["fwhm"] * SCALE)


@pytest.mark.parametrize(("reject", "kept"), [([], 4), (["fit_failed"], 3)])
def test_one_bad_fit_is_flagged_or_rejected(reject: list[str], kept: int, saved: Saved) -> None:
    pixels = field(PLACES)
    # A plateau wider than the fitted box has no width.
    pixels[130:165, 30:65] += 300
    frame, detection = frame_of(pixels, saved, detector="segmentation", reject=reject)
    done = cut(frame, find_stars(frame, detection), detection)
    assert len(done.stars) == kept
    assert done.stars["fit_failed"].sum() == kept - 3
    assert done.stars.loc[done.stars["fit_failed"], "fwhm"].isna().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stamp_size": 61}, "multiple of 2"),
        ({"threshold": 3.0}, "threshold_floor 4 is above threshold 3"),
    ],
)
def test_impossible_detection_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StarDetection.model_validate(settings)
