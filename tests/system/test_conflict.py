"""conflict: two contents under one name are looked at and decided about, and nothing is ever overwritten."""

import shutil

import pytest

from harness import MB, Site, flip_bit
from reports import backed_up, problems, twin_segment

REFUSED = 4
REASON = "the copy of Tuesday kept its archive_command"


@pytest.fixture(scope="module")
def split(runtime):
    """Two repositories, a stopped server, and a segment of its twin, which has the same system identifier."""
    with runtime.place("conflict") as place:
        site = Site(runtime, place / "site", repositories=("near", "far"))
        source = backed_up(site, segments=2)
        source.stop()
        site.theirs = twin_segment(site, runtime, place)
        site.place = place
        yield site


@pytest.fixture
def conflict(split):
    """The twin's segment came too late for both repositories, which are put back as they were afterwards."""
    top = split.directory / "repository"
    split.runtime.run(["cp", "-a", top, split.directory / "kept-repository"])
    split.file = split.theirs.name
    site = split
    site.archive(site.theirs, site.file, status=REFUSED)
    yield site
    shutil.rmtree(top)
    (split.directory / "kept-repository").rename(top)
    split.acknowledge = "all"
    split.write_config()


def resolve(site, *options, status=0):
    return site.json("conflict", "resolve", site.file, "--keep", "first", "--reason", REASON, *options, status=status)["conflicts"]


def decisions(site, repository=None):
    return [p.name.rsplit(".", 1)[1] for p in site.objects("clusters/*/conflict/**/*.*", repository) if "." in p.name]


def test_both_sides_are_shown_and_where_they_part(conflict):
    listed = conflict.json("conflict", "list")["conflicts"]
    assert {c["resolved"] for c in listed} == {False}
    shown = conflict.json("conflict", "show", conflict.file)["conflicts"]
    assert shown and shown[0]["object"] == listed[0]["object"]
    first, other = shown[0]["first"], shown[0]["other"]
    assert first["content_id"] != other["content_id"] == listed[0]["content_id"]
    assert first["size"] == other["size"] == MB and first["signer"] and other["records"] > 0
    ours = conflict.place / "ours"
    conflict.pgcairn("conflict", "show", conflict.file, "--content", "first", "--output", ours)
    a, b = ours.read_bytes(), conflict.theirs.read_bytes()
    assert shown[0]["parts_at_byte"] == next(i for i in range(MB) if a[i] != b[i])
    assert "they part at byte" in conflict.pgcairn("conflict", "show", listed[0]["object"]).stdout
    ours.unlink()


def test_without_the_identity_the_sides_are_shown_and_not_compared(conflict):
    identity = conflict.keys / "identity"
    identity.rename(identity.with_name("away"))
    try:
        shown = conflict.json("conflict", "show", conflict.file)["conflicts"][0]
        assert shown["other"]["records"] > 0 and "parts_at_byte" not in shown
        assert "with the identity only" in conflict.pgcairn("conflict", "show", conflict.file).stdout
        conflict.pgcairn("conflict", "show", conflict.file, "--output", conflict.place / "none", status=1)
        assert not (conflict.place / "none").exists()
    finally:
        identity.with_name("away").rename(identity)


def test_the_bytes_of_the_other_are_exported_once(conflict):
    out = conflict.place / "out"
    conflict.runtime.own(conflict.place)
    conflict.pgcairn("conflict", "show", conflict.file, "--output", out)
    assert out.read_bytes() == conflict.theirs.read_bytes() and out.stat().st_mode & 0o777 == 0o600
    conflict.pgcairn("conflict", "show", conflict.file, "--output", out, status=2)
    out.unlink()
    conflict.pgcairn("conflict", "show", conflict.file, "--output", out, "--content", "0" * 32, status=1)
    assert not out.exists()


def test_a_decision_is_remembered_and_the_loser_still_may_not_go_on(conflict):
    assert "conflict" in problems(conflict, options=("--no-switch",))
    decided = resolve(conflict)
    assert {(c["resolved"], c["released"], c["reason"]) for c in decided} == {(True, False, REASON)}
    for repository in conflict.repositories:
        info = conflict.info(repository)
        assert info["conflicts"] == []
        assert decisions(conflict, repository) == ["resolved"], "in every repository"
    assert conflict.info(decided[0]["repository"])["conflicts_resolved"] == 1
    assert "conflict" not in problems(conflict, options=("--no-switch",))
    conflict.pgcairn("verify")
    said = conflict.archive(conflict.theirs, conflict.file, status=REFUSED).stderr
    assert REASON in said and "pg_rewind" in said
    assert REASON in conflict.pgcairn("conflict", "list").stdout
    target = conflict.place / "fetched"
    conflict.runtime.own(conflict.place)
    conflict.fetch(conflict.file, target)
    assert target.read_bytes() != conflict.theirs.read_bytes(), "the first stays in service"
    target.unlink()


def test_a_released_content_and_no_other_is_let_go(conflict):
    resolve(conflict)
    assert {c["released"] for c in resolve(conflict, "--release")} == {True}
    before = sorted(p for r in conflict.repositories for p in conflict.objects("clusters/**/*", r))
    assert "released" in conflict.archive(conflict.theirs, conflict.file).stderr
    assert before == sorted(p for r in conflict.repositories for p in conflict.objects("clusters/**/*", r)), "nothing is stored"
    third = conflict.place / "third"
    shutil.copy2(conflict.theirs, third)
    flip_bit(third, MB - 1)  # behind the last record
    conflict.runtime.own(third)
    conflict.archive(third, conflict.file, status={3, REFUSED})
    third.unlink()


def test_it_is_released_in_as_many_repositories_as_must(conflict):
    resolve(conflict, "--release")
    for path in conflict.objects("clusters/*/conflict/**/*.released", "far"):
        path.unlink()
    conflict.archive(conflict.theirs, conflict.file, status=REFUSED)
    resolve(conflict, "--release")
    conflict.archive(conflict.theirs, conflict.file)


def test_the_first_decision_stays(conflict):
    resolve(conflict)
    again = conflict.json("conflict", "resolve", conflict.file, "--keep", "first", "--reason", "another day")["conflicts"]
    assert {c["reason"] for c in again} == {REASON}


def test_a_dry_run_decides_nothing(conflict):
    resolve(conflict, "--dry-run")
    assert not decisions(conflict) and "conflict" in problems(conflict, options=("--no-switch",))


def test_the_other_is_never_put_in_service_and_the_ways_are_told(conflict):
    said = conflict.pgcairn("conflict", "resolve", conflict.file, "--keep", "other", "--reason", REASON, status=REFUSED).stderr
    assert "never overwritten" in said and "timeline of its own" in said and "[cluster:OTHER]" in said and "--output" in said
    assert not decisions(conflict)


def test_repositories_that_disagree_are_not_decided_about(conflict):
    """One host was first here, the other there."""
    near = conflict.segment_object(conflict.file, "near")
    near.unlink()
    conflict.acknowledge = "1"
    conflict.write_config()
    far = conflict.repositories["far"]
    far.rename(far.with_name("away"))
    conflict.archive(conflict.theirs, conflict.file)
    far.with_name("away").rename(far)
    conflict.archive(conflict.theirs, conflict.file, status=REFUSED)
    said = conflict.pgcairn("conflict", "resolve", conflict.file, "--keep", "first", "--reason", REASON, status=REFUSED).stderr
    assert "different content in service" in said


@pytest.fixture
def without(conflict):
    """Takes repositories away, and puts them back in the end."""
    gone = []

    def take(name):
        conflict.repositories[name].rename(conflict.directory / f"repository-{name}")
        gone.append(name)

    yield take
    for name in gone:
        (conflict.directory / f"repository-{name}").rename(conflict.repositories[name])


def test_a_silent_repository_hides_the_conflicts_of_no_other(conflict, without):
    without("far")
    told = conflict.pgcairn("conflict", "list", status=3)
    assert conflict.file in told.stdout and "OPEN" in told.stdout and "'far' is silent" in told.stderr
    report = conflict.json("conflict", "list", status=3)
    assert {c["repository"] for c in report["conflicts"]} == {"near"} and report["silent"][0]["repository"] == "far"
    assert conflict.json("conflict", "show", conflict.file, status=3)["conflicts"][0]["first"]["signer"]
    without("near")
    assert "open the repository's directory" in conflict.pgcairn("conflict", "list", status=1).stderr


def test_what_may_lie_in_a_silent_repository_is_not_called_absent(conflict, without):
    for path in conflict.objects("clusters/*/conflict/**/*", "near"):
        path.unlink()
    without("far")
    said = conflict.pgcairn("conflict", "show", conflict.file, status=1).stderr
    assert "'far' is silent" in said and "repositories that answer" in said


def test_a_decision_reaches_the_repositories_that_answer_and_the_policy_judges(conflict, without):
    without("far")
    said = conflict.pgcairn("conflict", "resolve", conflict.file, "--keep", "first", "--reason", REASON, status={1, 2}).stderr
    assert "acknowledge" in said, "all of them must have it"
    conflict.acknowledge = "1"
    conflict.write_config()
    assert resolve(conflict, status=3)[0]["reason"] == REASON
    assert decisions(conflict, "near") == ["resolved"]


def test_a_decision_reaches_a_repository_that_was_silent_when_it_is_made_again(conflict, without):
    conflict.acknowledge = "1"
    conflict.write_config()
    away = conflict.directory / "away"
    conflict.repositories["far"].rename(away)
    resolve(conflict, status=3)
    away.rename(conflict.repositories["far"])
    assert decisions(conflict, "far") == []
    resolve(conflict)
    assert decisions(conflict, "far") == ["resolved"]


def test_a_decision_that_was_tampered_with_is_none(conflict):
    resolve(conflict)
    for repository in conflict.repositories:
        for path in conflict.objects("clusters/*/conflict/**/*.resolved", repository):
            flip_bit(path, -10)
    assert "conflict" in problems(conflict, options=("--no-switch",))
    assert {f["kind"] for f in conflict.json("verify", status=3)["findings"]} >= {"conflict", "damaged"}
    said = conflict.archive(conflict.theirs, conflict.file, status=REFUSED).stderr
    assert REASON not in said


@pytest.mark.parametrize("arguments, status, word", [
    (("show", "000000010000000000000FFF"), 1, "no other content came"),
    (("show",), 2, "an object is missing"),
    (("list", "x"), 2, "not known"),
    (("forget", "x"), 2, "not known"),
    (("resolve", "{file}", "--reason", "x"), 2, "needs --keep"),
    (("resolve", "{file}", "--keep", "first"), 2, "needs a reason"),
    (("resolve", "{file}", "--keep", "second", "--reason", "x"), 2, "none of its words"),
    (("resolve", "{file}", "--keep", "first", "--reason", " "), 2, "reason is empty"),
    (("resolve", "{file}", "--keep", "first", "--reason", "x", "--content", "abc"), 2, "no content id"),
    (("resolve", "{file}", "--keep", "first", "--reason", "x", "--content", "0" * 32), 1, "no content"),
])
def test_what_is_no_decision_is_refused(conflict, arguments, status, word):
    said = conflict.pgcairn("conflict", *[a.format(file=conflict.file) for a in arguments], status=status).stderr
    assert word in said and " hint: " in said
    assert not decisions(conflict)
