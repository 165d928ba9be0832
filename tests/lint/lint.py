"""The rules of the source tree that a compiler does not check. Run by test_lint.py, or: python3 tests/lint/lint.py [TREE]

Each rule is a function from a tree to its complaints, "file:line: what", so that test_lint.py can show it a tree that is wrong.
"""

import pathlib
import re
import shutil
import subprocess
import sys

# Who may include whom, the folder itself apart: one way, from the ground up.
GROUND = {"base"}
MAY_INCLUDE = {
    "base": set(),
    "stream": GROUND,
    "store": GROUND | {"stream"},
    "pg": GROUND | {"stream"},
    "codec": GROUND | {"stream"},
    "keys": GROUND | {"stream", "codec"},
    "config": GROUND,
}
BELOW_REPO = set(MAY_INCLUDE)
MAY_INCLUDE["repo"] = BELOW_REPO
MAY_INCLUDE["ops"] = BELOW_REPO | {"repo"}
MAY_INCLUDE["agent"] = BELOW_REPO | {"repo", "ops"}
MAY_INCLUDE["cli"] = BELOW_REPO | {"repo", "ops", "agent"}
# The two commands share their reading of argv, which is cli's work, and ask the agent.
MAY_INCLUDE["archive_command"] = MAY_INCLUDE["restore_command"] = BELOW_REPO | {"repo", "ops", "agent", "cli"}
# What pulls libpq in, and who must start without it.
NEEDS_LIBPQ = {"pg/conn.h", "pg/basebackup.h", "pg/receiver.h"}
WITHOUT_LIBPQ = {"archive_command", "restore_command", "repo"}
SOURCE_FOLDERS = ("src", "archive_command", "restore_command")
LONGEST_FILE = 600
# One file because it is carried away alone: to where neither pgcairn nor this tree is.
LONGER_FILES = {"examples/escape-hatch.py": 1300}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
# Put together, so that this file does not contain it.
THIS_MACHINE = re.compile("|".join(["/" + "work/", "/" + "root/"]))


def files(tree):
    """The files of the tree as git sees them; without git, all but builds and caches."""
    if (tree / ".git").exists() and shutil.which("git"):
        listing = subprocess.run(
            ["git", "-c", f"safe.directory={tree}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=tree, check=True, capture_output=True, timeout=60).stdout.decode()
        found = [tree / name for name in listing.split("\0") if name]
    else:
        skip = re.compile(r"^(build.*|__pycache__|\.git|\.pytest_cache)$")
        found = [p for p in tree.rglob("*") if not any(skip.match(part) for part in p.relative_to(tree).parts)]
    return sorted(p for p in found if p.is_file())


def sources(tree, *suffixes):
    return [p for p in files(tree) if p.suffix in suffixes]


def lines(tree, paths):
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            yield path.relative_to(tree), number, line


def folder_of(path):
    """src/pg/lsn.c -> pg, archive_command/main.c -> archive_command."""
    return path.parts[1] if path.parts[0] == "src" else path.parts[0]


def includes_go_one_way(tree):
    own = [p for p in sources(tree, ".c", ".h") if p.relative_to(tree).parts[0] in SOURCE_FOLDERS]
    for path, number, line in lines(tree, own):
        match = INCLUDE.match(line)
        if not match or match[1] == "build-config.h":
            continue
        folder, target = folder_of(path), match[1].split("/")[0]
        if folder not in MAY_INCLUDE:
            yield f"{path}:{number}: folder '{folder}' is not in the plan; hint: give it a line in MAY_INCLUDE"
        elif "/" not in match[1]:
            yield f'{path}:{number}: "{match[1]}" does not say its folder'
        elif target != folder and target not in MAY_INCLUDE[folder]:
            yield f"{path}:{number}: {folder} may not include {match[1]}"
        elif match[1] in NEEDS_LIBPQ and folder in WITHOUT_LIBPQ:
            yield f"{path}:{number}: {folder} must do without libpq, and {match[1]} needs it"


def formatted(tree):
    paths = sources(tree, ".c", ".h")
    if not paths:
        return
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *paths], cwd=tree, capture_output=True,
                            text=True, timeout=300, check=False)
    yield from re.findall(r"^(.*error: .*)$", result.stderr, re.MULTILINE)
    if result.returncode and "error: " not in result.stderr:
        yield f"clang-format: {result.stderr.strip()}"


def shell_is_sound(tree):
    paths = [p for p in files(tree) if p.suffix == ".sh" or (p.suffix == "" and first_line(p).startswith("#!/bin/"))]
    if not paths:
        return
    result = subprocess.run(["shellcheck", "--format=gcc", *paths], cwd=tree, capture_output=True, text=True, timeout=300,
                            check=False)
    yield from result.stdout.splitlines()
    if result.returncode and not result.stdout:
        yield f"shellcheck: {result.stderr.strip()}"


def first_line(path):
    with open(path, "rb") as file:
        return file.readline(80).decode(errors="replace")


def files_are_short(tree):
    for path in sources(tree, ".c", ".h", ".py", ".sh"):
        count = len(path.read_text(encoding="utf-8", errors="replace").splitlines())
        longest = LONGER_FILES.get(str(path.relative_to(tree)), LONGEST_FILE)
        if count > longest:
            yield f"{path.relative_to(tree)}:{longest}: {count} lines, more than {longest}"


def no_path_of_one_machine(tree):
    for path, number, line in lines(tree, files(tree)):
        if THIS_MACHINE.search(line):
            yield f"{path}:{number}: a path of one machine: {line.strip()}"


RULES = (includes_go_one_way, formatted, shell_is_sound, files_are_short, no_path_of_one_machine)


def main(tree):
    complaints = [complaint for rule in RULES for complaint in rule(tree)]
    print("\n".join(complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
