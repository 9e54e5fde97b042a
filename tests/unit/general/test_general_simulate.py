"""Simulated stamps of the network for any image."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from galadapt.config.general import General, GeneralTraining, PsfDraws
from galadapt.config.image import Image
from galadapt.general import simulate
from galadapt.general.inputs import binned, describe_psf, prepare
from galadapt.general.parameters import SIDE, position_angle
from galadapt.general.psfs import PsfMaker
from galadapt.general.simulate import PERIOD, Simulator, turned
from galadapt.simulation.ktable import KTableRenderer

SMALL = GeneralTraining(batch=16, group=8, mixed=1, passes=2)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(General(training=SMALL))


def test_a_batch_depends_on_seed_and_number_alone(simulator: Simulator) -> None:
    first = list(simulator.batches(3))
    list(simulator.batches(4))
    again = list(simulator.batches(3))
    assert len(first) == 2
    for one, other in zip(first, again, strict=True):
        for name, array in one._asdict().items():
            assert np.array_equal(array, getattr(other, name)), name
    assert not np.array_equal(first[0].images, first[1].images)
    other = next(iter(Simulator(General(training=SMALL.model_copy(update={"seed": 2}))).batches(3)))
    assert not np.array_equal(first[0].images, other.images)


def test_galaxies_are_drawn_as_the_renderer_draws_them(simulator: Simulator) -> None:
    group = simulator._group(np.random.default_rng(1))
    # The same PSF, as a profile of GalSim: sampled finely enough by its own transform.
    drawn = simulator._psfs.draw(np.random.default_rng(1)).transform
    last = drawn.shape[1] - 1
    whole = np.concatenate([np.conj(drawn[::-1, :0:-1]), drawn], axis=1)
    image = galsim.ImageCD(np.ascontiguousarray(whole, complex), xmin=-last, ymin=-last)
    image.scale = 2 * np.pi / PERIOD
    renderer = KTableRenderer(
        Image(stamp_size=SIDE, pixel_scale=1.0, zero_point=25.0), galsim.InterpolatedKImage(image)
    )
    middle = slice((PERIOD - SIDE) // 2, (PERIOD + SIDE) // 2)
    checked = 0
    for row in np.flatnonzero(~group.composite)[:3]:
        theta = group.theta[row]
        wanted = renderer.render(
            {
                "magnitude": 15.0,
                "effective_radius": np.exp(theta[1]),
                "sersic_index": np.exp(theta[2]),
                "ellipticity": np.hypot(theta[3], theta[4]),
                "position_angle": position_angle(theta),
                "x_offset": theta[5],
                "y_offset": theta[6],
            }
        )
        # A PSF's image has the sum 1: what lies beyond it is in nobody's flux.
        light = group.light[row, middle, middle]
        scale = float((light * wanted).sum() / (wanted**2).sum())
        assert scale * 1e4 == pytest.approx(1.0, abs=0.05)
        assert np.abs(light - scale * wanted).max() < 2e-3 * light.max()
        checked += 1
    assert checked == 3


def test_turned_stamps_have_turned_labels(simulator: Simulator) -> None:
    group = simulator._group(np.random.default_rng(2))
    for transposed, mirrored in ((True, False), (False, True), (True, True)):
        middle = slice((PERIOD - SIDE) // 2, (PERIOD + SIDE) // 2)
        images, _, _, theta = turned(
            group.light[:, middle, middle],
            np.ones((8, SIDE, SIDE), bool),
            group.psf,
            group.theta,
            transposed,
            mirrored,
        )
        axis = np.arange(SIDE) - (SIDE - 1) / 2
        for image, one in zip(images, theta, strict=True):
            if np.hypot(one[3], one[4]) < 0.3 or np.exp(one[1]) < 5:
                continue
            weight = image * np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 200)
            x, y = axis[None, :] - one[5], axis[:, None] - one[6]
            # The major axis points along (-sin, cos) of the position angle.
            e1, e2 = (weight * (y**2 - x**2)).sum(), (weight * -2 * x * y).sum()
            cosine = (e1 * one[3] + e2 * one[4]) / np.hypot(e1, e2) / np.hypot(one[3], one[4])
            assert cosine > 0.9


@pytest.mark.parametrize("family", range(4))
def test_psfs_have_the_width_they_were_drawn_with(simulator: Simulator, family: int) -> None:
    shares = [float(family == k) for k in range(4)]
    maker = PsfMaker(PsfDraws(shares=shares), simulator._kx, simulator._ky)
    psf = maker.draw(np.random.default_rng(5))
    last = psf.transform.shape[1] - 1
    whole = np.concatenate([np.conj(psf.transform[::-1, :0:-1]), psf.transform], axis=1)
    fine = np.zeros((1024, 1024), complex)
    fine[512 - last : 513 + last, 512 - last : 513 + last] = whole
    # Samples 4 times as fine as the pixels.
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(fine))).real
    area = np.count_nonzero(image > image.max() / 2) / 4**2
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(psf.fwhm, rel=0.07)
    assert abs(whole[last, last] - 1) < 1e-3


def test_inputs_do_not_depend_on_the_unit_of_masked_pixels(simulator: Simulator) -> None:
    batch = next(iter(simulator.batches(0)))
    hidden = np.where(batch.valid, batch.images, 1e6)
    plain, other = (
        prepare(images, batch.valid, batch.psfs, batch.psf_index)
        for images in (batch.images, hidden)
    )
    for one, two in zip(plain, other, strict=True):
        assert np.isfinite(one).all()
        assert np.array_equal(one, two)


def test_binning_adds_up_squares_of_pixels() -> None:
    image = np.arange(SIDE**2, dtype=np.float32).reshape(1, SIDE, SIDE)
    sums = binned(image)
    assert sums[0, 2, 5] == image[0, 8:12, 20:24].sum()


def test_a_psf_is_described_by_its_shape(simulator: Simulator) -> None:
    group = simulator._group(np.random.default_rng(3))
    same = describe_psf(np.stack([group.psf, group.psf]))
    other = simulator._group(np.random.default_rng(4)).psf
    assert np.array_equal(same[0], same[1])
    assert np.abs(describe_psf(other[None]) - same[:1]).max() > 0.1


def test_missing_strips_and_bad_pixels_leave_the_middle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        valid = np.ones((SIDE, SIDE), bool)
        simulate._mask(valid, 0.2, rng)
        assert valid[SIDE // 2 - 3 : SIDE // 2 + 3, SIDE // 2 - 3 : SIDE // 2 + 3].mean() > 0.5
