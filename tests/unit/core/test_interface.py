"""Messages name an option as the interface in use spells it."""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path

import pytest

import galadapt
from galadapt.cli import main, parser
from galadapt.core.errors import ConfigError, DataError
from galadapt.core.interface import SETTINGS, plain, spelled, spelling
from galadapt.core.log import log

SAID = "a.fits: give --zero-point (or --unit); `galadapt fit-check --zero-point` measures it"


def test_only_options_in_sentences_are_spelled(caplog):
    assert spelled(SAID) == SAID
    with spelling(plain(["zero_point", "unit"])):
        error = DataError(SAID)
        with caplog.at_level(logging.INFO, logger="galadapt"):
            log.info(SAID)
        assert spelled("/data/x--unit/a--unit.fits --units --unit") == (
            "/data/x--unit/a--unit.fits --units unit"
        )
    expected = "a.fits: give zero_point (or unit); `galadapt fit-check --zero-point` measures it"
    assert str(error) == caplog.messages[0] == expected


def test_the_caller_of_a_function_that_both_interfaces_use_counts():
    with spelling({}), spelling(plain(["unit"]), at_most=True):
        assert spelled("--unit") == "--unit"
    with spelling(plain(["unit"]), at_most=True):
        assert spelled("--unit") == "unit"
        with spelling({"unit": "survey.unit"}):
            assert spelled("--unit") == "survey.unit"
    assert spelled("--unit") == "--unit"


CASES = {
    "zero point": ({"zero_point": 99.0}, "zero_point: must lie in 0 to 40"),
    "scale": ({"native_pixel_scale": -1.0}, "native_pixel_scale: must be positive"),
    "table": ({"table": 2}, "columns, units, table and one_based: belong to catalogue; give one"),
    "maps": ({"weight": [__file__, __file__]}, "weight: 2 maps for 1 images; give one each"),
    "level": ({"level": 2.0}, "level: must lie in 0.05 to 0.95"),
    "mask": ({"mask_good": True}, "mask_good: belongs to mask; give the mask"),
}


@pytest.mark.parametrize("name", CASES)
def test_python_and_the_command_line_each_read_their_own(name, tmp_path, capsys):
    """The same fault, by the same code, in the words of whoever made it."""
    given, expected = CASES[name]
    image = str(Path(__file__))
    with pytest.raises(ConfigError) as caught:
        galadapt.measure(image, **given)
    assert str(caught.value).startswith(expected)
    words = ["predict", "--images", image, "-o", str(tmp_path / "out.csv")]
    for key, value in given.items():
        words += [f"--{key.replace('_', '-')}"]
        if value is not True:
            words += [str(one) for one in (value if isinstance(value, list) else [value])]
    assert main(words) == 2
    message = capsys.readouterr().err
    for word in re.findall(r"\b(?:zero_point|native_pixel_scale|one_based|mask_good)\b", message):
        pytest.fail(f"{word} in a message on the command line: {message}")
    assert f"--{expected.split(':')[0].split(',')[0].replace('_', '-')}" in message


def test_what_settings_call_an_option_is_one_of_their_keys():
    from galadapt.config.image import FitsPsf, Image
    from galadapt.config.survey import ImagesSurvey, MaskFile, ObjectCatalog

    sections = {"psf": FitsPsf, "mask": MaskFile, "image": Image}
    known = {*ImagesSurvey.model_fields, *ObjectCatalog.model_fields, "psf"}
    for name in SETTINGS.values():
        section, _, key = name.rpartition(".")
        assert key in (sections[section].model_fields if section else known), name


def test_every_option_in_a_message_is_one_of_the_command_line():
    """Whoever renames an option finds the messages that name it."""
    options: set[str] = set()
    left = [parser()]
    while left:
        for action in left.pop()._actions:
            options |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                left += action.choices.values()
    options |= {"--cores", "--configfile", "--config", "--keep-going"}  # Snakemake's
    options |= {"--error-unmatch", "--always", "--dirty", "--exclude", "--abbrev"}  # Git's
    root = Path(galadapt.__file__).parent
    text = {path: path.read_text() for path in root.rglob("*.py") if path.parent.name != "cli"}
    for path, source in text.items():
        for option in re.findall(r"(?<![\w/.`{-])--[a-z]+(?:-[a-z]+)*", source):
            assert option in options, (path, option)
