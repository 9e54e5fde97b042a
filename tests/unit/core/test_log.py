import subprocess
import sys

PROGRAM = """
import sys
from galadapt.core.log import log, progress, to_stderr
if sys.argv[1] == "command":
    to_stderr()
    to_stderr()
log.info("one line")
assert list(progress("ab", 2, "test", "letters")) == ["a", "b"]
"""


def stderr(use: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, use], capture_output=True, text=True, check=True
    ).stderr


def test_the_command_line_prints_plain_lines() -> None:
    first, second = stderr("command").splitlines()
    assert first == "one line"
    assert second.startswith("test: 2/2 letters in 0.0 s (")


def test_a_library_is_silent_until_logging_is_configured() -> None:
    assert stderr("library") == ""
