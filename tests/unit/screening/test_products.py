"""Names and addresses of products."""

from __future__ import annotations

from pathlib import Path

import pytest

from galadapt.downloads import read_archives
from galadapt.errors import DataError
from galadapt.screening.products import image_name, image_urls


def test_names_follow_the_handbook() -> None:
    assert image_name("0505720401") == "P0505720401EPX000OIMAGE8000.FTZ"
    assert image_name("0505720401", "pn", "S003", 2) == "P0505720401PNS003IMAGE_2000.FTZ"
    assert image_name("0505720401", "mos2", "U002") == "P0505720401M2U002IMAGE_8000.FTZ"


def test_addresses_lead_to_the_name() -> None:
    first, second = image_urls("0505720401")
    assert first.endswith("/0505720401/PPS/P0505720401EPX000OIMAGE8000.FTZ")
    assert "obsno=0505720401&level=PPS&name=EPX000OIMAGE8000&extension=FTZ" in second


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("505720401",), "must have 10 digits"),
        (("0505720401", "rgs"), "none of sum, pn, mos1, mos2"),
        (("0505720401", "pn", "3"), "must be S or U and three digits"),
        (("0505720401", "pn", "S003", 7), "ask for band 8"),
        (("0505720401", "sum", "S003", 2), "ask for band 8"),
    ],
)
def test_wrong_arguments(arguments: tuple, sentence: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(DataError, match=sentence):
        image_name(*arguments)


def test_the_observation_list_can_be_fetched(repository: Path) -> None:
    entry = read_archives(repository / "config" / "archives.yaml").files["4xmm-dr9-observations"]
    assert not entry.checked
    assert entry.urls[0].endswith(entry.file)
