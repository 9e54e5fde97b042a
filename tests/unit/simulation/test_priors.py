import numpy as np
import pytest

from galadapt.config import LogUniform, Priors, Simulation, Uniform
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
    table = draw_parameters(Simulation(priors=Priors(sersic_index=limits)), 5, 0, 4000)
    index = table["sersic_index"]
    inside = index[index.between(0.35, 6.15)]
    np.testing.assert_allclose(inside / 0.05, np.round(inside / 0.05), atol=1e-9)
    assert index.min() == 0.32
    assert index.max() == 6.18


def test_no_step_keeps_the_index_continuous():
    table = draw_parameters(Simulation(sersic_index_step=0), 5, 0, 200)
    assert table["sersic_index"].nunique() == 200


def test_one_prior_does_not_move_the_other_parameters():
    wide = draw_parameters(Simulation(), 1, 0, 20)
    narrow = draw_parameters(
        Simulation(priors=Priors(magnitude=Uniform(low=20, high=21))), 1, 0, 20
    )
    rest = [name for name in wide if name != "magnitude"]
    np.testing.assert_array_equal(wide[rest].to_numpy(), narrow[rest].to_numpy())
    assert (wide["magnitude"] != narrow["magnitude"]).all()
