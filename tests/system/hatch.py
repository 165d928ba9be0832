"""examples/escape-hatch.py as a module, for tests that call its parts."""

import importlib.util

import harness

HATCH = harness.REPO / "examples/escape-hatch.py"


def load():
    spec = importlib.util.spec_from_file_location("escape_hatch", HATCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
