"""Noise from a mosaic: where patches come from, what they look like, what is refused."""

import numpy as np
import pytest
import yaml
from astropy.io import fits
from field_files import write_mosaic

from galadapt.config.image import GaussianPsf, Image
from galadapt.config.realism import Realism, Strength
from galadapt.config.simulation import MosaicNoise, Noise, Priors, Simulation, Uniform
from galadapt.core.errors import ConfigError, DataError
from galadapt.simulation import mosaic_noise
from galadapt.simulation.engine import simulate_shard
from galadapt.simulation.mosaic_noise import MosaicNoiseSource
from galadapt.simulation.noise import add_noise, resolve
from galadapt.stamps.format import SPLITS, StampSet
from galadapt.surveys.field import tangent_wcs
from galadapt.tasks.reading import validate

IMAGE = Image(stamp_size=32)
NY, NX = 200, 420


def field(seed=1):
    """A noisy mosaic with a sloping sky, sources and a strip without weight."""
    rng = np.random.default_rng(seed)
    data = add_noise(np.zeros((NY, NX)), resolve(Noise()), rng)
    y, x = np.indices(data.shape)
    data += 0.05 + 0.02 * x / NX
    places = rng.uniform((0, 0), (NY, NX), (25, 2))
    for cy, cx in places:
        data += 0.5 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.0**2))
    weight = np.full(data.shape, 1 / 0.0051**2)
    weight[:, :12] = 0
    data[:, :12] = np.nan
    return data, weight, places


@pytest.fixture
def write(tmp_path):
    def write(data=None, weight=None, scale=0.06, **changes):
        made, weighted, _ = field()
        data = made if data is None else data
        weight = weighted if weight is None else weight
        wcs = tangent_wcs(data.shape, scale)
        write_mosaic(tmp_path / "drz.fits", data.astype("f4"), wcs, {}, "ELECTRONS/S")
        write_mosaic(tmp_path / "wht.fits", weight.astype("f4"), wcs, {}, "1/(ELECTRONS/S)^2")
        mosaic = MosaicNoise(directory=str(tmp_path), drz="drz.fits", wht="wht.fits", **changes)
        return Noise(kind="mosaic", mosaic=mosaic)

    return write


def rng(seed=1):
    return np.random.default_rng(seed)


def patches(source, split, count=150):
    return [source.patch(split, rng(seed)) for seed in range(count)]


def test_splits_share_no_pixel(write):
    source = MosaicNoiseSource(write(), IMAGE, 5)
    used = {}
    for split in SPLITS:
        seen = np.zeros((NY, NX), bool)
        for y, x, _ in patches(source, split):
            assert 0 <= y <= NY - 32
            assert 12 <= x <= NX - 32
            seen[y : y + 32, x : x + 32] = True
        used[split] = seen
    assert not (used["train"] & used["validation"]).any()
    assert not (used["train"] & used["test"]).any()
    assert not (used["validation"] & used["test"]).any()
    assert used["train"].sum() > 3 * used["test"].sum() > 0


def test_bands_recur_along_a_long_mosaic():
    bands = mosaic_noise._bands(np.arange(50, 50 + 1000), 32)
    assert (bands[:50] == -1).all()
    widths = np.bincount(bands[50:])
    assert len(widths) == 9
    np.testing.assert_allclose(widths / 1000, np.tile((0.7, 0.15, 0.15), 3) / 3, atol=0.002)


def test_uneven_depth_is_evened_out(write):
    data, weight, _ = field()
    noisy = np.arange(NX) % 150 < 70
    sky = 0.05 + 0.02 * np.arange(NX)[None, :] / NX
    data = np.where(noisy, sky + 2 * (data - sky), data)
    weight[:, noisy] /= 4
    source = MosaicNoiseSource(write(data, weight, max_masked=0.1), IMAGE, 5)
    for split in SPLITS:
        drawn = np.stack([pixels for *_, pixels in patches(source, split)])
        assert drawn.std() == pytest.approx(source.levels.pixel_rms, rel=0.12)


def test_patches_are_sky_without_sources(write):
    source = MosaicNoiseSource(write(), IMAGE, 5)
    assert source.levels.pixel_rms == pytest.approx(0.0051, rel=0.08)
    drawn = np.stack([pixels for *_, pixels in patches(source, "train")])
    assert drawn.std() == pytest.approx(0.0051, rel=0.08)
    # Sources peak at a hundred times the noise, the sky lies at ten times it.
    assert np.abs(drawn).max() < 8 * 0.0051
    assert abs(drawn.mean()) < 0.1 * 0.0051
    lag = (drawn[:, 1:] * drawn[:, :-1]).mean() / (drawn**2).mean()
    assert lag == pytest.approx(0.52, abs=0.06)


def test_no_patch_meets_a_source(write):
    source = MosaicNoiseSource(write(max_masked=0.0), IMAGE, 5)
    _, _, places = field()
    for split in SPLITS:
        for y, x, _ in patches(source, split):
            inside = (np.abs(places - [y + 15.5, x + 15.5]) < 16).all(axis=1)
            assert not inside.any()


def test_few_masked_pixels_become_noise(write):
    source = MosaicNoiseSource(write(max_masked=0.15), IMAGE, 5)
    drawn = [pixels for *_, pixels in patches(source, "train", 400)]
    assert max(np.abs(pixels).max() for pixels in drawn) < 8 * 0.0051
    assert min(pixels.std() for pixels in drawn) > 0.6 * 0.0051


def test_patches_are_turned_copies_of_the_mosaic(write):
    source = MosaicNoiseSource(write(max_masked=0.0), IMAGE, 5)
    turned = 0
    for y, x, pixels in patches(source, "train", 20):
        original = source._sky[y : y + 32, x : x + 32]
        assert sorted(pixels.ravel()) == pytest.approx(sorted(original.ravel()))
        turned += not np.array_equal(pixels, original)
    assert 10 <= turned < 20


def test_photon_noise_is_added_and_depth_scales_the_patch(write):
    source = MosaicNoiseSource(write(), IMAGE, 5)
    row = {"id": 3, "split": "train"}
    flat = np.full((32, 32), 100.0)
    noisy = source.add(flat, source.levels, row) - flat
    assert noisy.std() == pytest.approx(np.sqrt(100 / 3300), rel=0.25)
    dark = np.zeros((32, 32))
    once = source.add(dark, source.levels, row)
    doubled = mosaic_noise.replace(source.levels, pixel_rms=2 * source.levels.pixel_rms)
    np.testing.assert_allclose(source.add(dark, doubled, row), 2 * once)


def simulate(path, noise, start, stop, **changes):
    priors = Priors(
        effective_radius=Uniform(low=2, high=5), sersic_index=Uniform(low=0.5, high=1.5)
    )
    settings = Simulation(
        n_train=12, n_validation=6, n_test=6, priors=priors, noise=noise, **changes
    )
    simulate_shard(IMAGE, GaussianPsf(), settings, 5, start, stop, path, {})
    return StampSet(path)


def test_through_the_engine_whatever_the_sharding(tmp_path, write):
    realism = Realism(depth=Strength(low=0.8, high=1.2))
    whole = simulate(tmp_path / "a.h5", write(), 0, 24, realism=realism)
    parts = [
        simulate(tmp_path / f"{a}.h5", write(), a, b, realism=realism) for a, b in ((0, 7), (7, 24))
    ]
    assert np.concatenate([s.images() for s in parts]).tobytes() == whole.images().tobytes()
    assert whole.metadata["pixel_rms"] == pytest.approx(0.0051, rel=0.08)
    assert (whole.table["pixel_rms"] / whole.metadata["pixel_rms"]).between(0.8, 1.2).all()


def test_missing_mosaic(tmp_path, write):
    noise = write()
    (tmp_path / "wht.fits").unlink()
    with pytest.raises(DataError, match=r"wht\.fits: no such weight file"):
        simulate(tmp_path / "s.h5", noise, 0, 4)
    assert not (tmp_path / "s.h5").exists()


def test_wrong_scale(write):
    with pytest.raises(DataError, match=r"pixel scale is 0\.1200 arcsec, image\.pixel_scale is"):
        MosaicNoiseSource(write(scale=0.12), IMAGE, 5)


def test_weight_of_another_mosaic(tmp_path, write):
    noise = write()
    fits.PrimaryHDU(np.ones((9, 9), "f4")).writeto(tmp_path / "wht.fits", overwrite=True)
    with pytest.raises(DataError, match="give the weight map of the same mosaic"):
        MosaicNoiseSource(noise, IMAGE, 5)


def test_no_weight_anywhere(write):
    with pytest.raises(DataError, match="no pixel has data and weight"):
        MosaicNoiseSource(write(weight=np.zeros((NY, NX))), IMAGE, 5)


def test_too_small_a_mosaic(write):
    with pytest.raises(DataError, match=r"no patch of 128 px .* for train \(70% of the mosaic\)"):
        MosaicNoiseSource(write(), Image(stamp_size=128), 5)
    with pytest.raises(DataError, match="no patch of 32 px"):
        MosaicNoiseSource(write(data=field()[0][:20], weight=field()[1][:20]), IMAGE, 5)


def test_too_large_a_mosaic(write, monkeypatch):
    monkeypatch.setattr(mosaic_noise, "MAX_PIXELS", 1000)
    with pytest.raises(DataError, match="are more than 1000 that fit in memory; cut a part"):
        MosaicNoiseSource(write(), IMAGE, 5)


@pytest.fixture(scope="module")
def values(repository):
    return yaml.safe_load((repository / "config" / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"kind": "mosaic"}, "kind: mosaic and the section mosaic belong together"),
        ({"mosaic": {"directory": ".", "drz": "a", "wht": "b"}}, "belong together"),
        (
            {
                "kind": "mosaic",
                "pixel_rms": 0.01,
                "mosaic": {"directory": ".", "drz": "a", "wht": "b"},
            },
            "pixel_rms: is measured in the mosaic; leave it out",
        ),
        (
            {
                "kind": "mosaic",
                "depth": "none",
                "mosaic": {"directory": ".", "drz": "a", "wht": "b"},
            },
            "depth: none contradicts kind: mosaic",
        ),
    ],
)
def test_contradicting_settings(values, noise, message):
    changed = {**values, "simulation": {**values["simulation"], "noise": noise}}
    with pytest.raises(ConfigError, match=message):
        validate(changed, "test.yaml")


@pytest.mark.parametrize("survey", [{"kind": "mock"}, {"kind": "cosmos", "directory": "."}])
def test_surveys_draw_their_noise(values, survey):
    noise = {"kind": "mosaic", "mosaic": {"directory": ".", "drz": "a", "wht": "b"}}
    with pytest.raises(ConfigError, match=r"noise\.kind: mosaic is for simulations"):
        validate({**values, "survey": {**survey, "noise": noise}}, "test.yaml")


@pytest.mark.realdata
def test_a_real_field(galadapt_data, tmp_path):
    folder = galadapt_data / "f160w_field"
    rms = fits.getdata(folder / "HST_macs1149_f160w_rms.fits").astype("f8")
    with fits.open(folder / "HST_macs1149_f160w_drz.fits") as hdus:
        header, data = hdus[0].header, hdus[0].data
    header["BUNIT"] = "ELECTRONS/S"
    fits.PrimaryHDU(data, header).writeto(tmp_path / "drz.fits", output_verify="silentfix")
    weight = np.where(np.isfinite(rms) & (rms > 0) & (rms < 1), 1 / np.maximum(rms, 1e-9) ** 2, 0)
    fits.PrimaryHDU(weight.astype("f4")).writeto(tmp_path / "wht.fits")
    mosaic = MosaicNoise(directory=str(tmp_path), drz="drz.fits", wht="wht.fits", max_masked=0.3)
    source = MosaicNoiseSource(Noise(kind="mosaic", mosaic=mosaic), IMAGE, 5)
    drawn = np.stack([pixels for *_, pixels in patches(source, "test")])
    assert drawn.std() == pytest.approx(source.levels.pixel_rms, rel=0.3)
    # Nothing in the patches resembles a galaxy: no bright tail.
    assert np.abs(drawn).max() < 10 * source.levels.pixel_rms
