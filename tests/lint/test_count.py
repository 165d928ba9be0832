"""tests/count.py counts what ran, and a run that did not happen is a failure."""

import json
import pathlib
import subprocess
import sys

import pytest

COUNT = pathlib.Path(__file__).resolve().parents[1] / "count.py"
GOOD = '<testsuites><testsuite><testcase classname="m" name="t"/></testsuite></testsuites>'


def program(stdout="", result="OK"):
    return json.dumps({"name": "p", "stdout": stdout, "result": result}) + "\n"


@pytest.mark.parametrize("unit, junit, last, status", [
    (program("1..2\nok 1 - a\nok 2 - b\n"), GOOD, "3 passed, 0 failed, 0 skipped", 0),
    (program("ok 1 - a\nnot ok 2 # SKIP b\n"), GOOD, "2 passed, 0 failed, 1 skipped", 0),
    (program("ok 1 - a\nnot ok 2 - b\n", "FAIL"), GOOD, "2 passed, 1 failed, 0 skipped", 1),
    (program("ok 1 - a\n", "FAIL"), GOOD, "2 passed, 1 failed, 0 skipped", 1),  # a crash after a good case
    (program("", "TIMEOUT"), GOOD, "1 passed, 1 failed, 0 skipped", 1),
    (program("ok 1 - a\n"), GOOD.replace("/>", '><failure message="x"/></testcase>', 1), "1 passed, 1 failed, 0 skipped", 1),
    (program("ok 1 - a\n"), GOOD.replace("/>", '><error message="x"/></testcase>', 1), "1 passed, 1 failed, 0 skipped", 1),
    (program("ok 1 - a\n"), "<testsuites/>", "1 passed, 1 failed, 0 skipped", 1),
    (program("ok 1 - a\n"), None, "1 passed, 1 failed, 0 skipped", 1),
    (None, GOOD, "1 passed, 1 failed, 0 skipped", 1),
    ("", GOOD, "1 passed, 1 failed, 0 skipped", 1),
])
def test_the_last_line_and_the_status_tell_the_truth(tmp_path, unit, junit, last, status):
    for name, text in (("unit.json", unit), ("pytest.xml", junit)):
        if text is not None:
            (tmp_path / name).write_text(text)
    ended = subprocess.run([sys.executable, COUNT, tmp_path], capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout.splitlines()[-1] == last, ended.stdout
    assert ended.returncode == status
