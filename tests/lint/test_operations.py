"""docs/operations.md speaks of the program that there is: its findings, exit codes, verbs, options, settings and messages."""

import pathlib
import re

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs/operations.md").read_text(encoding="utf-8")


def sources(*patterns):
    return "".join(p.read_text(encoding="utf-8") for pattern in patterns for p in sorted(REPO.glob(pattern)))


def rows(header):
    """The first column of the table whose header begins so."""
    table = re.search(rf"^\| {header} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table, f"no table '{header}'"
    found = [line.split("|")[1].strip().strip("`") for line in table[1].splitlines()]
    assert len(set(found)) == len(found), "a row stands twice"
    return set(found)


def arguments(text, start):
    """The arguments of a call, from behind its bracket, as text."""
    depth, quoted, found, one, i = 0, False, [], "", start
    while depth >= 0:
        c = text[i]
        if quoted and c == "\\":
            one += text[i:i + 2]
            i += 2
            continue
        quoted ^= c == '"'
        if not quoted:
            depth += (c in "([{") - (c in ")]}")
            if c == "," and depth == 0:
                found.append(one.strip())
                one, c = "", ""
        one += c
        i += 1
    return [*found, one[:-1].strip()]


def finding_names(text):
    named = [arguments(text, m.end())[2] for m in re.finditer(r"\bcheck_add(?:_err)?\(", text)]
    literal = {name.strip('"') for name in named if name.startswith('"')}
    # what is handed on by a helper's own parameter
    assert {name for name in named if not name.startswith('"')} <= {"name", "const char *name"}
    return literal


def test_every_finding_has_its_row_and_no_other_has():
    names = finding_names(sources("src/ops/check*.c"))
    assert len(names) > 20 and rows("finding") == names


def test_a_finding_that_is_new_would_be_missed():
    assert finding_names('check_add(c, CHECK_OK, "brand-new", "", NULL, "x, (%s)", f("a, b"));') == {"brand-new"}


def enum_values(path, first):
    """The numbers of an enum, from the one that this word begins."""
    body = re.search(r"enum[^{;]*\{\s*(" + first + r" = [^}]*)\}", (REPO / path).read_text())[1]
    return set(re.findall(r"= (\d+)", body))


@pytest.mark.parametrize("header, path, first", [
    ("archive", "archive_command/main.c", "DONE"),
    ("restore", "restore_command/main.c", "DELIVERED"),
    ("pgcairn", "src/cli/exit_code.h", "EXIT_DONE"),
    ("nagios", "src/cli/nagios.h", "NAGIOS_OK"),
])
def test_every_exit_code_has_its_row_and_no_other_has(header, path, first):
    assert rows(header) == enum_values(path, first)


def quotes():
    """What stands in code spans and code blocks."""
    blocks = re.findall(r"```\w*\n(.*?)```", PAGE, re.DOTALL)
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)) + blocks


def verb_sources():
    return {p.stem.removeprefix("verb_"): p.read_text() for p in (REPO / "src/cli").glob("verb_*.c")}


def test_every_verb_and_option_that_is_named_exists():
    verbs = verb_sources()
    verbs["start"] = verbs["stop"]
    common = sources("src/cli/command_table.c", "src/cli/wal_command.c", "archive_command/main.c", "restore_command/main.c")
    named = set()
    for quote in quotes():
        for verb, rest in re.findall(r"\bpgcairn ([a-z]+)([^`\n|]*)", quote):
            named.add(verb)
            assert verb in verbs, quote
            if verb in ("gap", "conflict", "key"):
                assert f'strcmp(what, "{rest.split()[0]}")' in verbs[verb], quote
            for option in re.findall(r"--([a-z-]+)", rest):
                assert f'.name = "{option}"' in verbs[verb] or f'.name = "{option}"' in common, quote
    assert {"check", "gap", "conflict", "stop", "start", "backup", "restore"} <= named
    everything = common + "".join(verbs.values()) + sources("src/cli/*.c")
    for quote in quotes():
        if "pgcairn" not in quote or "restore_command" in quote:
            for option in re.findall(r"(?:^|\s)--([a-z-]+)", quote):
                assert re.search(rf'"(--)?{option}"', everything), quote


def test_every_setting_that_is_named_exists():
    table = sources("src/config/option.c")
    keys = set(re.findall(r'\{OPTION_([A-Z]+), "([a-z-]+)"', table))
    assert len(keys) > 30
    for section, key in re.findall(r"`\[([a-z]+)\] ([a-z-]+)", PAGE):
        assert (section.upper(), key) in keys, f"[{section}] {key}"
    for key in re.findall(r"`([a-z]+-[a-z-]*(?:max-age|full-in|within))`", PAGE):
        assert ("CHECK", key) in keys, key


def literals():
    """The text of all string literals, those that stand side by side as one."""
    text = re.sub(r'"\s*(?:PRI\w+\s*)?\n?\s*"', "", sources("src/*/*.c", "archive_command/*.c", "restore_command/*.c"))
    return text.replace("%%", "%")


def test_every_message_that_is_quoted_is_said():
    said = literals()
    quoted = rows("says") | {m for t in re.findall(r"^\| says \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
                             for m in re.findall(r"^\| `([^`]+)`", t, re.MULTILINE)}
    assert len(quoted) > 10
    for message in quoted:
        assert message in said, message


def test_places_that_are_named_are_there():
    for path in re.findall(r"`?((?:docs|pgconf|examples)/[A-Za-z0-9_./-]+[a-z])", PAGE):
        assert (REPO / path).exists(), path
    headings = set(re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE))
    for heading in re.findall(r'"([A-Z][a-z]+(?: [a-z_, ]+)|pg_wal fills|A [a-z ]+)"', PAGE):
        assert heading in headings, heading


def test_what_must_never_be_done_is_said_before_anything_else():
    never = PAGE.index("**Never:**")
    assert never < PAGE.index("**More time:**") and never < PAGE.index("|")
    for deed in ("delete, move or truncate", "/bin/true", "pg_resetwal", "archive_mode = off"):
        assert never < PAGE.index(deed) < never + 900


def test_remedies_of_check_name_sections_of_the_page():
    remedies = sources("src/ops/check*.c").replace('\\"', '"')
    for heading in re.findall(r'docs/operations\.md, "([^"]+)"', remedies):
        assert f"## {heading}" in PAGE
    assert 'docs/operations.md, "pg_wal fills"' in remedies
