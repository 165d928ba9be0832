"""The tree obeys every rule of lint.py, and every rule can go red."""

import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import lint  # noqa: E402  (the line above makes it importable)

TREE = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_obeys(rule):
    complaints = list(rule(TREE))
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize("rule, path, text, complaint", [
    ("includes_go_one_way", "src/base/a.c", '#include "store/store.h"\n', "base may not include store/store.h"),
    ("includes_go_one_way", "src/store/a.c", '#include "pg/lsn.h"\n', "store may not include pg/lsn.h"),
    ("includes_go_one_way", "src/codec/a.c", '#include "keys/epoch.h"\n', "codec may not include keys/epoch.h"),
    ("includes_go_one_way", "src/pg/a.h", '#  include "repo/pack.h"\n', "pg may not include repo/pack.h"),
    ("includes_go_one_way", "src/repo/a.c", '\n#include "ops/fetch.h"\n', "src/repo/a.c:2"),
    ("includes_go_one_way", "src/ops/a.c", '#include "cli/output.h"\n', "ops may not include"),
    ("includes_go_one_way", "src/pg/a.c", '#include "lsn.h"\n', "does not say its folder"),
    ("includes_go_one_way", "src/new/a.c", '#include "base/err.h"\n', "not in the plan"),
    ("includes_go_one_way", "archive_command/main.c", '#include "pg/conn.h"\n', "must do without libpq"),
    ("includes_go_one_way", "restore_command/main.c", '#include "pg/basebackup.h"\n', "must do without libpq"),
    ("formatted", "src/base/a.c", "int  main( ) { return 0; }\n", "src/base/a.c:1"),
    ("shell_is_sound", "examples/a.sh", "#!/bin/sh\nrm $1\n", "SC2086"),
    ("shell_is_sound", ".ci/run", "#!/bin/bash\ncd x\n", "SC2164"),
    ("files_are_short", "src/base/a.c", "int a;\n" * 601, "601 lines"),
    ("files_are_short", "tests/a.py", "a = 1\n" * 700, "700 lines"),
    ("files_are_short", "examples/escape-hatch.py", "a = 1\n" * 1301, "1301 lines"),
    ("no_path_of_one_machine", "docs/a.md", "see /" + "work/x\n", "docs/a.md:1"),
])
def test_a_rule_goes_red(tmp_path, rule, path, text, complaint):
    shutil.copy(TREE / ".clang-format", tmp_path)
    bad = tmp_path / path
    bad.parent.mkdir(parents=True)
    bad.write_text(text)
    complaints = list(getattr(lint, rule)(tmp_path))
    assert any(complaint in c for c in complaints), complaints


@pytest.mark.parametrize("path, text", [
    ("src/base/a.c", '#include "base/err.h"\n#include <stdio.h>\n'),
    ("src/store/a.c", '#include "stream/stream.h"\n'),
    ("src/keys/a.c", '#include "codec/object.h"\n'),
    ("src/ops/a.c", '#include "pg/conn.h"\n#include "repo/pack.h"\n'),
    ("src/cli/a.c", '#include "build-config.h"\n#include "ops/backup.h"\n'),
    ("archive_command/main.c", '#include "ops/archive.h"\n'),
    ("tests/unit/test_a.c", '#include "anything.h"\n'),
])
def test_what_is_allowed_stays_quiet(tmp_path, path, text):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert not list(lint.includes_go_one_way(tmp_path))
