from pathlib import Path

import pytest

from galadapt.answers import registry
from galadapt.core.errors import DataError


def test_a_run_folder_of_0_1_0_is_one_sentence() -> None:
    run = {"task": "structure", "parameters": ["magnitude"], "target_scaling": {}}
    with pytest.raises(DataError, match=r"run\.json: lacks 'answer', as those of galadapt 0\.1\.0"):
        registry.record_of(run, Path("seed1/run.json"))
