import numpy as np
import pandas as pd
import pytest

from galadapt.config.simulation import (
    Empirical,
    LogUniform,
    MagnitudeRelation,
    Priors,
    Simulation,
    Uniform,
)
from galadapt.core.errors import DataError
from galadapt.simulation.priors import draw_parameters
from galadapt.simulation.streams import stream


def test_a_galaxy_does_not_depend_on_its_neighbours():
    simulation = Simulation()
    whole = draw_parameters(simulation, 7, 0, 40)
    part = draw_parameters(simulation, 7, 13, 29)
    np.testing.assert_array_equal(whole[13:29].to_numpy(), part.to_numpy())


def test_seeds_and_purposes_are_independent():
    base = stream(1, 5, "parameters").random(8)
    assert not np.isin(stream(2, 5, "parameters").random(8), base).any()
    assert not np.isin(stream(1, 6, "parameters").random(8), base).any()
    assert not np.isin(stream(1, 5, "noise").random(8), base).any()


def test_an_index_beyond_the_key_is_refused():
    with pytest.raises(ValueError, match=r"must lie in \[0, 2\*\*48\)"):
        stream(1, 1 << 48, "noise")


def test_distributions_and_limits():
    priors = Priors(
        magnitude=Uniform(low=18, high=24), effective_radius=LogUniform(low=1.5, high=30)
    )
    table = draw_parameters(Simulation(priors=priors, max_offset=0.5), 3, 0, 4000)
    assert table["magnitude"].mean() == pytest.approx(21, abs=0.1)
    assert table["magnitude"].std() == pytest.approx(6 / np.sqrt(12), rel=0.03)
    # Uniform in the logarithm: the median is the geometric mean of the limits.
    assert table["effective_radius"].median() == pytest.approx(np.sqrt(1.5 * 30), rel=0.05)
    assert table["position_angle"].between(0, 180).all()
    assert table["position_angle"].mean() == pytest.approx(90, abs=4)
    for axis in ("x_offset", "y_offset"):
        assert table[axis].abs().max() == pytest.approx(0.5, abs=0.01)
        assert table[axis].mean() == pytest.approx(0, abs=0.02)
    for name in ("magnitude", "effective_radius", "sersic_index", "ellipticity"):
        prior = getattr(priors, name)
        assert table[name].between(prior.low, prior.high).all()
    correlation = table.corr().to_numpy()[~np.eye(7, dtype=bool)]
    assert np.abs(correlation).max() < 0.06


def test_sersic_index_is_rounded_and_kept_inside_the_limits():
    limits = Uniform(low=0.32, high=6.18)
    table = draw_parameters(
        Simulation(priors=Priors(sersic_index=limits), sersic_index_step=0.05), 5, 0, 4000
    )
    index = table["sersic_index"]
    inside = index[index.between(0.35, 6.15)]
    np.testing.assert_allclose(inside / 0.05, np.round(inside / 0.05), atol=1e-9)
    assert index.min() == 0.32
    assert index.max() == 6.18


def test_no_step_keeps_the_index_continuous():
    table = draw_parameters(Simulation(), 5, 0, 200)
    assert table["sersic_index"].nunique() == 200


def test_one_prior_does_not_move_the_other_parameters():
    wide = draw_parameters(Simulation(), 1, 0, 20)
    narrow = draw_parameters(
        Simulation(priors=Priors(magnitude=Uniform(low=20, high=21))), 1, 0, 20
    )
    rest = [name for name in wide if name != "magnitude"]
    np.testing.assert_array_equal(wide[rest].to_numpy(), narrow[rest].to_numpy())
    assert (wide["magnitude"] != narrow["magnitude"]).all()


@pytest.fixture
def catalogue(tmp_path):
    rng = np.random.default_rng(0)
    magnitude = rng.uniform(15, 28, 500)
    table = pd.DataFrame({"mag": magnitude, "re": 0.06 * (30 - magnitude), "n": magnitude})
    table.loc[::10, "n"] = -999.0
    table.loc[5::10, "re"] = np.nan
    table.to_csv(tmp_path / "real.csv", index=False)
    return str(tmp_path / "real.csv")


def empirical(path):
    radius = Empirical(path=path, column="re", factor=1 / 0.06, low=3, high=12)
    return Priors(
        magnitude=Empirical(path=path, column="mag", low=18, high=26), effective_radius=radius
    )


def test_parameters_of_one_catalogue_are_one_galaxys(catalogue):
    table = draw_parameters(Simulation(priors=empirical(catalogue)), 3, 0, 300)
    np.testing.assert_allclose(table["effective_radius"], 30 - table["magnitude"], rtol=1e-9)
    assert table["magnitude"].between(18, 26).all()
    assert 100 < table["magnitude"].nunique() <= 300
    # The parameters of other priors are untouched.
    plain = draw_parameters(Simulation(), 3, 0, 300)
    rest = ["sersic_index", "ellipticity", "position_angle", "x_offset", "y_offset"]
    np.testing.assert_array_equal(table[rest], plain[rest])


def test_unusable_catalogues_are_sentences(catalogue, tmp_path):
    def draw(**changes):
        prior = Empirical(**({"path": catalogue, "column": "mag", "low": 18, "high": 26} | changes))
        return draw_parameters(Simulation(priors=Priors(magnitude=prior)), 3, 0, 2)

    with pytest.raises(DataError, match=r"real.csv: no row lies within the priors of magnitude; w"):
        draw(low=40, high=50)
    with pytest.raises(DataError, match=r"real.csv: lacks the column 'MAG'; add what is missing"):
        draw(column="MAG")
    with pytest.raises(DataError, match=r"none.csv: no such table; correct the path"):
        draw(path=str(tmp_path / "none.csv"))
    (tmp_path / "text.csv").write_text("mag\n20\nfaint\n")
    with pytest.raises(DataError, match=r"text.csv: row 2: mag is 'faint', not a number"):
        draw(path=str(tmp_path / "text.csv"))
    (tmp_path / "table.xml").write_text("<a/>")
    with pytest.raises(DataError, match=r"table.xml: is an XML document, not a table"):
        draw(path=str(tmp_path / "table.xml"))


def test_radius_follows_the_magnitude():
    relation = MagnitudeRelation(median=8, at_magnitude=22, slope=-0.1, scatter=0.1, low=1, high=60)
    priors = Priors(magnitude=Uniform(low=18, high=26), effective_radius=relation)
    table = draw_parameters(Simulation(priors=priors), 3, 0, 4000)
    residual = np.log10(table["effective_radius"] / 8) + 0.1 * (table["magnitude"] - 22)
    assert residual.mean() == pytest.approx(0, abs=0.006)
    assert residual.std() == pytest.approx(0.1, rel=0.05)
    slope = np.polyfit(table["magnitude"], np.log10(table["effective_radius"]), 1)[0]
    assert slope == pytest.approx(-0.1, abs=0.003)


def test_a_relation_far_from_its_limits_stays_inside_them():
    relation = MagnitudeRelation(median=2, slope=0, scatter=0.05, low=5, high=6)
    table = draw_parameters(Simulation(priors=Priors(effective_radius=relation)), 3, 0, 300)
    assert table["effective_radius"].between(5, 6).all()
    assert table["effective_radius"].nunique() > 250
