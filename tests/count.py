"""Adds up what tests/run.sh ran: names what failed and what was skipped, ends with the one line that counts.

results/unit.json   one JSON object a line, as meson writes it; a program's standard output is TAP when cmocka wrote it
results/pytest.xml  pytest's junit file
A program that ends badly without a failed case of its own (a crash, a time limit) is one failure. So is a missing or an empty file.
"""

import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

TAP = re.compile(r"^(?P<not>not )?ok \d+\s*-?\s*(?P<skip># SKIP\s*)?(?P<name>.*)$", re.MULTILINE)


def unit_results(path):
    """(name, outcome, why) for every case of every program."""
    for line in path.read_text(encoding="utf-8").splitlines():
        program = json.loads(line)
        cases = []
        for case in TAP.finditer(program.get("stdout", "")):
            outcome = "skipped" if case["skip"] else "failed" if case["not"] else "passed"
            cases.append((f"{program['name']}: {case['name']}", outcome, ""))
        good = program["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
        if not good and not any(outcome == "failed" for _, outcome, _ in cases):
            cases.append((program["name"], "failed", program["result"].lower()))
        elif not cases:
            cases.append((program["name"], "skipped" if program["result"] == "SKIP" else "passed", ""))
        yield from cases


def pytest_results(path):
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}: {case.get('name')}"
        outcomes = {child.tag: child.get("message", "") for child in case}
        bad = outcomes.get("failure", outcomes.get("error"))
        if bad is not None:
            yield name, "failed", bad.splitlines()[0] if bad else ""
        elif "skipped" in outcomes:
            yield name, "skipped", outcomes["skipped"]
        else:
            yield name, "passed", ""


def main(directory):
    results = []
    for reader, name in ((unit_results, "unit.json"), (pytest_results, "pytest.xml")):
        path = directory / name
        found = list(reader(path)) if path.exists() else []
        results += found or [(name, "failed", "no results")]
    for outcome in ("skipped", "failed"):
        # The cases of one test that share a reason are one line.
        lines = collections.Counter((name.split("[")[0] if outcome == "skipped" else name, why)
                                    for name, result, why in sorted(results) if result == outcome)
        for (name, why), times in lines.items():
            print(f"{outcome.upper()} {name}" + (f" ({times} cases)" if times > 1 else "") + (f": {why}" if why else ""))
    count = {outcome: sum(r[1] == outcome for r in results) for outcome in ("passed", "failed", "skipped")}
    print(", ".join(f"{n} {outcome}" for outcome, n in count.items()))
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
