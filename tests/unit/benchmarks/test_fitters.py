"""The benchmark against profile fitters: its stamps, its bookkeeping of failures, its table."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.modeling.models import Sersic2D
from scipy.signal import fftconvolve

from galadapt.answers.numbers.settings import Evaluation
from galadapt.config.base import Interval
from galadapt.config.image import GaussianPsf
from galadapt.core.errors import ConfigError, DataError, RunError
from galadapt.core.quantity import PARAMETERS
from galadapt.tasks.reading import load

REPOSITORY = Path(__file__).parents[3]
BENCH = REPOSITORY / "benchmarks" / "fitters"
FITTERS_PYTHON = REPOSITORY / ".venv-fitters" / "bin" / "python"
sys.path.insert(0, str(BENCH))

import bench  # noqa: E402
import conditions  # noqa: E402
import network  # noqa: E402
import running  # noqa: E402
import tables  # noqa: E402
from sersic import surface_brightness, total_flux  # noqa: E402

EXPERIMENT = load(REPOSITORY / "config" / "config.yaml")

#: A round PSF whose sigma is .06 arcsec.
ROUND = EXPERIMENT.model_copy(update={"psf": GaussianPsf(fwhm=0.06 * 2.3548)})

DEMO = {
    "magnitude": (18.0, 23.5),
    "effective_radius": (1.5, 12.0),
    "sersic_index": (0.3, 6.2),
    "ellipticity": (0.0, 0.9),
}


def script(tmp_path: Path, body: str):
    """A worker whose lines and death a test chooses; FIRST is the row it is started at."""
    path = tmp_path / "worker.py"
    path.write_text(
        "import json, os, signal, sys\n"
        "FIRST = int(sys.argv[1])\n"
        "def tell(**what): print(json.dumps(what), flush=True)\n" + body
    )
    return lambda first: [sys.executable, str(path), str(first)]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return [conditions.make("clean", EXPERIMENT, DEMO, 6, 3, folder / name) for name in "ab"]


class TestSersic:
    def test_total_flux_is_the_profiles_integral(self):
        y, x = np.mgrid[-600:601, -600:601] / 4.0
        profile = Sersic2D(amplitude=0.3, r_eff=6.0, n=1.4, ellip=0.4, theta=0.5)
        assert total_flux(0.3, 6.0, 1.4, 0.4) == pytest.approx(profile(x, y).sum() / 16, rel=2e-3)

    def test_surface_brightness_inverts_it(self):
        brightness = surface_brightness(25.0, 4.0, 3.3, 0.2)
        assert total_flux(brightness, 4.0, 3.3, 0.2) == pytest.approx(25.0)


class TestStamps:
    def test_are_the_same_in_every_run(self, clean):
        first, second = (condition.stamps.read_bytes() for condition in clean)
        assert first == second

    def test_hold_what_a_fitter_needs_and_no_truth(self, clean):
        with np.load(clean[0].stamps, allow_pickle=False) as file:
            assert file["images"].shape == (6, 128, 128)
            assert file["pixel_rms"] == pytest.approx(np.full(6, 0.0051))
            assert not file["crowded"]
            assert not set(file.files) & {"truth", *PARAMETERS}

    def test_lie_inside_the_ranges(self, clean):
        for name, (low, high) in DEMO.items():
            assert clean[0].truth[name].between(low, high).all()

    def test_refuse_the_experiments_own_seed(self, tmp_path):
        with pytest.raises(ConfigError, match="the network was trained on; give another"):
            conditions.make("clean", EXPERIMENT, DEMO, 6, EXPERIMENT.seed, tmp_path)

    def test_bare_psf_times_the_pixel_is_the_effective_one(self):
        effective, bare = conditions.psf_images(EXPERIMENT, 0.0)
        # A box of one pixel sampled at pixel centres, as its transform sampled on the grid.
        frequency = np.sinc(np.fft.fftfreq(effective.shape[0]))
        pixel = np.fft.ifft2(np.outer(frequency, frequency)).real
        drawn = fftconvolve(bare, np.fft.fftshift(pixel), mode="same")
        assert np.abs(drawn - effective).max() < 2e-3 * effective.max()
        assert bare.max() > effective.max()

    def test_broadened_psf_has_the_peak_of_both_sigmas_in_quadrature(self):
        narrow, broad = (conditions.psf_images(ROUND, sigma)[0] for sigma in (0.0, 0.08))
        # The box of a pixel adds 1/12 px^2 to either.
        pixel = ROUND.image.pixel_scale**2 / 12
        ratio = ((0.06**2 + 0.08**2) + pixel) / (0.06**2 + pixel)
        assert narrow.max() / broad.max() == pytest.approx(ratio, rel=0.03)
        assert broad.sum() == pytest.approx(narrow.sum(), rel=1e-3)

    def test_crowded_ones_are_judged_by_the_noiseless_best_fit(self, tmp_path):
        made = conditions.make("crowded", EXPERIMENT, DEMO, 10, 3, tmp_path)
        truth = pd.read_parquet(tmp_path / "mock_truth.parquet").set_index("id")
        best = truth.loc[made.truth["id"], "best_radius"].to_numpy()
        assert made.truth["effective_radius"].to_numpy() == pytest.approx(best)
        with np.load(made.stamps, allow_pickle=False) as file:
            assert file["crowded"] and file["images"].shape == (10, 128, 128)
            # The middle of a stamp is its galaxy's.
            core = file["images"][:, 60:68, 60:68].mean(axis=(1, 2))
            assert (core > 5 * file["pixel_rms"] / 8).all()

    @pytest.mark.parametrize(("galaxies_per_stamp", "mosaics"), [(4, 1), (9, 2), (None, 3)])
    def test_a_survey_that_yields_too_few_is_made_again_with_more(
        self, tmp_path, monkeypatch, galaxies_per_stamp, mosaics
    ):
        asked = []

        def stamps(config, survey, seed, path):
            asked.append(survey.n_galaxies)
            count = 7 if galaxies_per_stamp is None else survey.n_galaxies // galaxies_per_stamp
            middle = {name: (low + high) / 2 for name, (low, high) in DEMO.items()}
            return pd.DataFrame({"id": np.arange(count), **middle})

        monkeypatch.setattr(conditions, "_survey_stamps", stamps)
        wanted = EXPERIMENT, DEMO, 100, 3, tmp_path / "crowded.h5"
        if galaxies_per_stamp is None:
            with pytest.raises(RunError, match="only 7 of 7 stamps lie within the ranges, 100 are"):
                conditions._crowded(*wanted)
        else:
            rows, _ = conditions._crowded(*wanted)
            assert len(rows) == len(set(rows)) == 100
        assert len(asked) == mosaics and asked[0] == 500


class TestRanges:
    def test_are_the_box_cut_to_the_networks(self):
        known = {name: Interval(low=-1, high=20) for name in PARAMETERS}
        found = conditions.ranges(EXPERIMENT, known)
        assert found["magnitude"] == (16.0, 20.0)
        assert found["effective_radius"] == (1.3, 20.0)

    def test_without_overlap_are_refused(self):
        with pytest.raises(ConfigError, match="has nothing in common with the benchmark's"):
            conditions.ranges(EXPERIMENT, {"magnitude": Interval(low=26, high=27)})


class TestWorkers:
    def test_what_they_find_is_passed_on(self, tmp_path):
        body = "for r in range(FIRST, 3):\n tell(row=r)\n tell(row=r, seconds=.5, values=[r]*4)\n"
        found = list(running.lines(script(tmp_path, body), 1, 3, 60))
        assert [line["row"] for line in found] == [1, 2]

    @pytest.mark.parametrize(
        ("killed", "reason", "seconds"),
        [("SIGPROF", "longer than 7 s", 7), ("SIGSEGV", r"crashed \(exit code -11\)", None)],
    )
    def test_killed_ones_cost_one_galaxy(self, tmp_path, killed, reason, seconds):
        body = (
            "for r in range(FIRST, 4):\n"
            " tell(row=r)\n"
            f" if r == 1: os.kill(os.getpid(), signal.{killed})\n"
            " tell(row=r, seconds=.5, values=[1]*4)\n"
        )
        found = list(running.lines(script(tmp_path, body), 0, 4, 7))
        assert [line["row"] for line in found] == [0, 1, 2, 3]
        assert [bool(line.get("reason")) for line in found] == [False, True, False, False]
        assert re.fullmatch(reason, found[1]["reason"])
        assert seconds is None or found[1]["seconds"] == seconds

    def test_that_never_start_are_an_error(self, tmp_path):
        body = "print('no such module', file=sys.stderr)\nsys.exit(1)\n"
        with pytest.raises(RunError, match=r"does not start \(no such module\)"):
            list(running.lines(script(tmp_path, body), 0, 4, 7))

    def test_talkative_ones_do_not_block(self, tmp_path):
        body = "print('x' * 300000, file=sys.stderr)\ntell(row=0)\ntell(row=0, seconds=1)\n"
        assert len(list(running.lines(script(tmp_path, body), 0, 1, 7))) == 1

    def test_a_fitter_that_is_not_installed_is_a_note(self, tmp_path, monkeypatch):
        body = "print('pyimfit: not installed', file=sys.stderr)\nsys.exit(3)\n"
        command = script(tmp_path, body)
        monkeypatch.setattr(running, "worker", lambda *_: command)
        stamps = tmp_path / "clean.npz"
        stamps.write_bytes(b"stamps")
        found = running.fit(Path("python"), "pyimfit", stamps, 4, 7, 25.0)
        assert found.empty
        assert found.attrs["note"] == "pyimfit: not installed"

    def test_finished_fits_are_kept_and_broken_ones_done_again(self, tmp_path, monkeypatch):
        started = []

        def command(first: int) -> list[str]:
            started.append(first)
            body = "for r in range(FIRST, 4):\n tell(row=r)\n tell(row=r, seconds=1, values=[2]*4)"
            return script(tmp_path, body)(first)

        monkeypatch.setattr(running, "worker", lambda *_: command)
        stamps = tmp_path / "clean.npz"
        stamps.write_bytes(b"stamps")
        running.fit(Path("python"), "petrofit", stamps, 4, 7, 25.0)
        (kept,) = tmp_path.glob("clean_petrofit_*.jsonl")
        whole = kept.read_text().splitlines()
        kept.write_text("\n".join([*whole[:2], whole[2][:9]]))
        again = running.fit(Path("python"), "petrofit", stamps, 4, 7, 25.0)
        assert started == [0, 2]
        assert again["row"].tolist() == [0, 1, 2, 3]
        stamps.write_bytes(b"other stamps")
        running.fit(Path("python"), "petrofit", stamps, 4, 7, 25.0)
        assert started == [0, 2, 0]

    def test_outcomes_are_magnitudes_and_reasons(self):
        found = running.outcomes(
            [
                {"row": 0, "seconds": 1.0, "values": [100.0, 4.0, 2.0, 0.3]},
                {"row": 1, "seconds": 2.0, "reason": "not converged"},
            ],
            25.0,
        )
        assert found.loc[0, "magnitude"] == pytest.approx(20.0)
        assert found.loc[1, list(PARAMETERS)].isna().all()
        assert found["reason"].tolist() == ["", "not converged"]


class TestNetwork:
    def test_wants_the_middle_of_larger_stamps(self):
        images = np.zeros((1, 8, 8))
        images[0, 3:5, 3:5] = 1
        assert network.middle(images, 2).sum() == 4

    @pytest.mark.parametrize("side", [10, 7])
    def test_stamps_that_have_no_such_middle_are_refused(self, side):
        with pytest.raises(DataError, match=f"wants stamps of {side} px, the benchmark's have 8"):
            network.middle(np.zeros((1, 8, 8)), side)

    def test_a_folder_without_a_network_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="neither a prediction package"):
            network.training_ranges(tmp_path)

    def test_a_broken_run_is_one_sentence(self, tmp_path):
        (tmp_path / "run.json").write_text("{}")
        stamps = tmp_path / "clean.npz"
        np.savez(stamps, images=np.zeros((2, 64, 64), np.float32))
        with pytest.raises(RunError, match=r"run\.json: made by galadapt 0\.1\.0") as caught:
            running.measure(tmp_path, stamps, 25.0)
        assert "\n" not in str(caught.value)


class TestTable:
    @pytest.fixture
    def truth(self):
        rng = np.random.default_rng(1)
        return pd.DataFrame(
            {name: rng.uniform(low, high, 90) for name, (low, high) in DEMO.items()}
        )

    def table(self, truth, scatter, seconds, failed=0):
        rng = np.random.default_rng(2)
        found = truth.assign(row=range(len(truth)), seconds=seconds, reason="")
        found["magnitude"] += rng.normal(0, scatter, len(truth))
        found.loc[: failed - 1, list(PARAMETERS)] = np.nan
        found.loc[: failed - 1, "reason"] = "not converged"
        return found

    @pytest.fixture
    def result(self, truth):
        missing = pd.DataFrame(columns=["row", "seconds", *PARAMETERS, "reason"])
        missing.attrs["note"] = "pyimfit: not installed"
        measured = {
            "galadapt": self.table(truth, 0.1, 0.002),
            "petrofit": self.table(truth, 0.01, 0.1, failed=5),
            "pyimfit": missing,
        }
        return tables.rows("clean", truth, measured, Evaluation())

    def test_has_a_row_per_method_and_bin(self, result):
        assert len(result) == 3 * 5
        parts = result[result["bin"] != "all"].groupby("method")["n"].sum()
        assert parts.to_dict() == {"galadapt": 90, "petrofit": 90, "pyimfit": 0}

    def test_counts_failures_and_leaves_them_out(self, result):
        row = result[(result["method"] == "petrofit") & (result["bin"] == "all")].iloc[0]
        assert row["failures"] == 5
        assert row["ratio"] == pytest.approx(50)
        assert 0.005 < row["mag_nmad"] < 0.02
        assert row["n_nmad"] == 0

    def test_is_printed_with_the_best_starred(self, result):
        text = tables.printed(result)
        assert re.search(r"pyimfit +pyimfit: not installed", text)
        (line,) = [
            line for line in text.split("\n\n")[0].splitlines() if line.startswith("  petrofit")
        ]
        assert "*" in line
        assert ">23.5" not in text

    def test_is_drawn(self, result, tmp_path):
        tables.draw(result, tmp_path / "fitters.png")
        assert (tmp_path / "fitters.png").read_bytes()[:4] == b"\x89PNG"


class TestCommand:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--count", "2"], "--count: 2 stamps say nothing; give at least 10"),
            (["--limit", "0"], "--limit: must be positive, not 0"),
            (["--python", "nowhere"], "nowhere does not exist; run `make bench-fitters`"),
            (["--python", sys.executable, "--model", "/nowhere"], "/nowhere: neither"),
        ],
    )
    def test_bad_options_are_one_sentence(self, options, message, monkeypatch, capsys):
        monkeypatch.chdir(REPOSITORY)
        monkeypatch.setattr(sys, "argv", ["bench.py", *options])
        assert bench.main() in (2, 3)
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@pytest.mark.skipif(not FITTERS_PYTHON.exists(), reason="run `make bench-fitters` once")
@pytest.mark.parametrize("method", ["petrofit", "pyimfit", "statmorph"])
def test_fitters_recover_a_clear_galaxy(tmp_path, method):
    limits = {
        "magnitude": (20.0, 20.2),
        "effective_radius": (5.0, 6.0),
        "sersic_index": (1.0, 1.5),
        "ellipticity": (0.3, 0.4),
    }
    made = conditions.make("clean", EXPERIMENT, limits, 2, 3, tmp_path)
    found = running.fit(FITTERS_PYTHON, method, made.stamps, 2, 60, EXPERIMENT.image.zero_point)
    assert found["reason"].tolist() == ["", ""]
    for name, allowed in zip(PARAMETERS, (0.04, 0.3, 0.15, 0.03), strict=True):
        error = found[name].to_numpy() - made.truth[name].to_numpy()
        assert np.abs(error).max() < allowed, (name, error)
    (kept,) = tmp_path.glob("*.jsonl")
    assert json.loads(kept.read_text().splitlines()[0])["row"] == 0
