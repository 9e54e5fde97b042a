import json

import numpy as np
import pytest

from galadapt.core.errors import DataError
from galadapt.core.quantity import PLACEMENT, QUANTITIES, SERSIC, Quantity


def test_errors_follow_the_convention_of_each_quantity():
    true, predicted = np.array([2.0, 4.0]), np.array([4.0, 2.0])
    for name, expected in {
        "magnitude": [2, -2],
        "effective_radius": [1, -0.5],
        "sersic_index": [np.log10(2), -np.log10(2)],
        "ellipticity": [2, -2],
    }.items():
        np.testing.assert_allclose(QUANTITIES[name].errors(true, predicted), expected)


def test_the_error_of_an_index_that_is_not_positive_is_minus_infinity_and_of_none_is_nan():
    found = QUANTITIES["sersic_index"].errors(np.full(3, 2.0), np.array([0.0, -1.0, np.nan]))
    np.testing.assert_array_equal(found, [-np.inf, -np.inf, np.nan])


def test_axes_and_units():
    assert [q.axis for q in SERSIC] == [
        *("magnitude [mag]", "effective radius [px]", "Sérsic index", "ellipticity"),
    ]
    assert [q.error_unit for q in SERSIC] == ["mag", "relative", "dex", "absolute"]
    assert PLACEMENT[0].axis == "position angle [deg]"


@pytest.mark.parametrize("quantity", [*SERSIC, Quantity("flux_ratio", "flux ratio", "f")])
def test_a_record_keeps_a_quantity(quantity):
    text = json.dumps(quantity.to_dict()).replace("-Infinity", "null").replace("Infinity", "null")
    assert Quantity.from_dict(json.loads(text)) == quantity


def test_a_broken_record_is_named():
    with pytest.raises(DataError, match="the record of a quantity is incomplete"):
        Quantity.from_dict({"name": "magnitude"})
