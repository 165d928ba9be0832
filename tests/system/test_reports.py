"""What info, verify and find say when all is well, and when one thing after the other is not."""

import shutil

import pytest

from harness import Site, flip_bit
from reports import (  # noqa: F401 (fixtures are used by their names)
    backed_up, fill, findings, first_segment_of, found, problems, segments, shared, spoilable, still, twin_segment, without_far,
    without_identity)

FAILED = set(range(1, 126))


# info


def test_info_says_what_can_be_restored_from_each_repository(shared):
    report = shared.json("info")
    assert [r["name"] for r in report["repositories"]] == ["near", "far"]
    for repository in report["repositories"]:
        assert repository["state"] == "ok" and repository["encryption"] == "on"
        backup, window = repository["backups"][0], repository["windows"][0]
        assert backup["label"] == shared.backup["label"] and backup["wal_complete"] and not backup["proven"]
        assert len(repository["windows"]) == 1 and window["from_lsn"] == backup["stop_lsn"]
        assert window["to_time"] > window["from_time"]
        assert repository["gaps"] == [] and repository["conflicts"] == []
        assert repository["first_signer"] == "pinned" and len(repository["signers"]) == 1
    said = shared.pgcairn("info").stdout
    assert shared.backup["label"] in said and "unproven" in said


def test_a_repository_that_vanished_does_not_hide_the_other(shared, without_far):
    report = {r["name"]: r for r in shared.json("info")["repositories"]}
    assert report["near"]["state"] == "ok" and report["near"]["windows"]
    assert report["far"]["state"] == "unreachable" and report["far"]["backups"] == []
    assert str(shared.repositories["far"]) in report["far"]["error"]["message"]


def test_an_empty_directory_in_the_place_of_a_repository_is_no_empty_repository(shared, without_far, runtime):
    runtime.make_directory(shared.repositories["far"])
    try:
        report = {r["name"]: r for r in shared.json("info")["repositories"]}
        assert report["far"]["state"] == "unreachable"
    finally:
        shutil.rmtree(shared.repositories["far"])


def test_info_fails_when_no_repository_opens(spoilable):
    repository = spoilable.repositories["local"]
    repository.rename(repository.with_name("moved"))
    try:
        assert str(repository) in spoilable.pgcairn("info", status=1).stdout
        assert spoilable.json("info", status=1)["repositories"][0]["state"] == "unreachable"
    finally:
        repository.with_name("moved").rename(repository)


def test_a_repository_that_is_given_up_is_said_so_and_not_looked_at(shared, without_far):
    text = shared.config_text().replace("[repository:far]\n", "[repository:far]\nstate = lost\n")
    shared.write_config(text)
    try:
        report = {r["name"]: r for r in shared.json("info")["repositories"]}
        assert report["far"]["state"] == "lost" and report["near"]["state"] == "ok"
    finally:
        shared.write_config()


def test_a_gap_splits_the_window_and_is_named(site):
    source = backed_up(site)
    second = site.json("backup", "--full")
    fill(source)
    source.archive_now()
    source.stop()
    stop = next(i for i, p in enumerate(segments(site)) if p.name > first_segment_of(site, site.backup))
    hole = segments(site)[stop + 1]
    hole.unlink()
    repository = site.info()
    assert [g["first"] for g in repository["gaps"]] == [hole.name]
    assert repository["gaps"][0]["missing"] == 1
    assert [w["backup"] for w in repository["windows"]] == [site.backup["label"], second["label"]]
    assert hole.name in site.pgcairn("info").stdout
    assert any(f["kind"] == "gap" for f in found(site, hole.name))


def test_a_damaged_segment_ends_the_window_before_it(spoilable):
    victim = segments(spoilable)[-2]
    flip_bit(victim, -3)
    repository = spoilable.info()
    assert victim.name in repository["gaps"][0]["what"]
    assert repository["windows"][0]["to_lsn"] < f"0/{int(victim.name[-8:], 16):X}00001"


def test_a_backup_whose_wal_is_gone_is_not_called_restorable(spoilable):
    for path in segments(spoilable):
        if path.name >= first_segment_of(spoilable, spoilable.backup):
            path.unlink()
    repository = spoilable.info()
    assert repository["windows"] == []
    assert not repository["backups"][0]["wal_complete"]
    assert "NOTHING can be restored" in spoilable.pgcairn("info").stdout
    assert any(f["kind"] == "wal" for f in findings(spoilable))


def test_a_damaged_manifest_is_shown_and_hides_nothing(spoilable):
    flip_bit(spoilable.objects("clusters/*/backup/*/manifest-*")[0], -3)
    backup = spoilable.info()["backups"][0]
    assert backup["label"] == spoilable.backup["label"] and backup["damaged"]
    assert "DAMAGED" in spoilable.pgcairn("info").stdout


def test_a_new_timeline_has_a_window_of_its_own(site):
    source = backed_up(site)
    source.stop()
    second = site.restore("--adopt", directory="second")
    site.use(second)
    second.start()
    second.wait_promoted()
    fill(second)
    second.archive_now()
    repository = site.info()
    assert sorted(w["timeline"] for w in repository["windows"]) == [1, 2]
    assert repository["gaps"] == []
    assert findings(site, status=0) == []
    assert problems(site, status=0) == {}


# conflicts


def test_a_conflict_is_named_by_info_verify_and_check(site, runtime, place):
    """A twin of the cluster, with the same system identifier, archives another segment of the same name."""
    backed_up(site)
    theirs = twin_segment(site, runtime, place)
    assert problems(site, status=0) == {}
    site.archive(theirs, status=FAILED)
    conflict = site.info()["conflicts"]
    assert len(conflict) == 1 and conflict[0]["object"].endswith(theirs.name) and conflict[0]["size"] > 0
    assert theirs.name in site.pgcairn("info").stdout
    assert [f["kind"] for f in found(site, f"{theirs.name}/{conflict[0]['content_id']}")] == ["conflict"]
    assert theirs.name in problems(site)["conflict"]["what"]


# verify


def test_verify_of_a_whole_repository_finds_nothing(still):
    report = still.json("verify")
    assert report["clean"] and report["findings"] == [] and report["notes"] == []
    assert report["identity"] and report["objects"] == report["objects_read"] > 5
    assert report["files"] > 900 and report["objects_decrypted"] > 3


def test_verify_without_identity_finds_nothing_wrong_either(still, without_identity):
    report = still.json("verify")
    assert report["clean"] and not report["identity"] and report["objects_decrypted"] == 0
    assert "identity" in report["without_identity"]


def test_verify_without_a_comparison_key_works(still):
    key = still.keys / "comparison-key"
    key.rename(key.with_name("away"))
    try:
        assert still.json("verify")["clean"]
    finally:
        key.with_name("away").rename(key)


OBJECTS = {
    "a pack": "clusters/*/backup/*/pack-*",
    "a manifest": "clusters/*/backup/*/manifest-*",
    "a key": "clusters/*/keys/*/*",
    "a segment": "clusters/*/wal/*/*/*/" + "?" * 24,
    "a lineage record": "clusters/*/lineage/0000",
    "the founder's record": "clusters/*/signers/0000",
}


@pytest.mark.parametrize("where", [9, 0.3, 0.7, -90, -1])
@pytest.mark.parametrize("what", OBJECTS)
def test_a_flipped_bit_is_found_and_named(spoilable, without_identity, what, where):
    victim = spoilable.objects(OBJECTS[what])[-1]
    flip_bit(victim, where if isinstance(where, int) else int(victim.stat().st_size * where))
    name = str(victim.relative_to(spoilable.repositories["local"] / "clusters" / spoilable.name))
    reported = findings(spoilable)
    assert any(name in f["object"] or name in f["what"] for f in reported), reported
    assert all(f["remedy"] for f in reported)
    assert victim.name in spoilable.pgcairn("verify", status=3).stdout


@pytest.mark.parametrize("what", ["a pack", "a manifest", "a key", "a segment"])
def test_a_flipped_bit_is_found_with_the_identity_too(spoilable, what):
    victim = spoilable.objects(OBJECTS[what])[-1]
    flip_bit(victim, victim.stat().st_size // 2)
    assert victim.parent.name + "/" + victim.name in " ".join(f["object"] for f in findings(spoilable))


def test_a_damaged_pack_names_the_files_in_it(spoilable):
    victim = spoilable.objects(OBJECTS["a pack"])[0]
    flip_bit(victim, victim.stat().st_size // 2)
    reported = findings(spoilable)
    assert {f["kind"] for f in reported} == {"damaged", "file"}
    assert any("file 'base/" in f["what"] for f in reported), reported


@pytest.mark.parametrize("what, kind", [("a pack", "missing"), ("a key", "missing"), ("a segment", "gap")])
def test_an_object_that_is_gone_is_named(spoilable, without_identity, what, kind):
    victim = spoilable.objects(OBJECTS[what])[-2 if what == "a segment" else -1]
    victim.unlink()
    name = str(victim.relative_to(spoilable.repositories["local"] / "clusters" / spoilable.name))
    assert kind in [f["kind"] for f in found(spoilable, name)]


def test_objects_that_changed_places_are_found(spoilable, without_identity):
    one, two = segments(spoilable)[-2:]
    content = one.read_bytes()
    one.chmod(0o600)
    two.chmod(0o600)
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    reported = findings(spoilable)
    assert {f["object"].rsplit("/", 1)[-1] for f in reported if f["kind"] == "damaged"} == {one.name, two.name}


def test_a_file_that_nobody_needs_is_named(spoilable):
    stranger = spoilable.repositories["local"] / "clusters" / spoilable.name / "wal" / "notes.txt"
    stranger.write_text("mine")
    spoilable.runtime.own(stranger)
    assert [f["kind"] for f in found(spoilable, "notes.txt")] == ["name"]


def test_packs_without_a_manifest_are_a_note_only(spoilable):
    for manifest in spoilable.objects("clusters/*/backup/*/manifest-*"):
        manifest.unlink()
    report = spoilable.json("verify")
    assert report["clean"] and [n["kind"] for n in report["notes"]] == ["orphan"]


def test_the_parts_of_a_subset_together_read_everything(spoilable, without_identity):
    victim = spoilable.objects(OBJECTS["a pack"])[0]
    flip_bit(victim, victim.stat().st_size // 2)
    parts = [spoilable.json("verify", "--subset", f"{i}/3", status={0, 3}) for i in (1, 2, 3)]
    assert sum(p["objects_read"] for p in parts) == parts[0]["objects"]
    assert sorted(p["found"] for p in parts) == [0, 0, 1]
    assert [p["subset"] for p in parts] == ["1/3", "2/3", "3/3"]
    again = [spoilable.json("verify", "--subset", f"{i}/3", status={0, 3}) for i in (1, 2, 3)]
    assert [p["objects_read"] for p in again] == [p["objects_read"] for p in parts]


@pytest.mark.parametrize("text", ["0/7", "8/7", "1", "1/0", "a/b", "1/7/7", "-1/7", ""])
def test_a_subset_that_is_none_is_a_usage_error(still, text):
    still.pgcairn("verify", "--subset", text, status=2)


def test_a_label_limits_verify_to_what_the_backup_needs(spoilable):
    victim = segments(spoilable)[-1]
    flip_bit(victim, -1)
    assert spoilable.json("verify", "--label", spoilable.backup["label"])["clean"]
    flip_bit(spoilable.objects(OBJECTS["a pack"])[0], -1)
    assert found(spoilable, "pack-", options=("--label", spoilable.backup["label"]))


def test_a_label_that_does_not_exist_is_said_so(still):
    assert "no-such" in still.pgcairn("verify", "--label", "no-such", status=2).stderr


def test_verify_names_a_repository_that_vanished_and_reads_the_other(shared, without_far):
    report = shared.json("verify", status=3)
    assert [(f["repository"], f["kind"]) for f in report["findings"]] == [("far", "unreachable")]
    assert report["objects"] > 5


def test_verify_fails_when_nothing_can_be_read(spoilable):
    repository = spoilable.repositories["local"]
    repository.rename(repository.with_name("moved"))
    try:
        assert str(repository) in spoilable.pgcairn("verify", status=1).stderr
    finally:
        repository.with_name("moved").rename(repository)


def test_an_object_of_another_host_that_was_never_admitted_is_found(site, runtime, place):
    """Somebody with access to the store, and keys of their own, leaves a backup there."""
    backed_up(site).stop()
    other = Site(runtime, place / "other")
    backed_up(other).stop()
    theirs = other.objects("clusters/*/backup/*/manifest-*")[0].parent
    copy = site.repositories["local"] / "clusters" / site.name / "backup" / theirs.name
    shutil.copytree(theirs, copy, dirs_exist_ok=True)
    site.runtime.own(copy)
    reported = [f for f in findings(site) if theirs.name in f["object"]]
    assert len(reported) >= 2 and all(f["kind"] in ("damaged", "trust") for f in reported), reported


def test_two_repositories_that_hold_other_content_under_one_name_are_found(two_repositories, runtime, place):
    site = two_repositories
    backed_up(site).stop()
    theirs = twin_segment(site, runtime, place)
    assert findings(site, status=0) == []
    site.segment_object(theirs.name, "far").unlink()
    both = dict(site.repositories)
    del site.repositories["near"]
    site.acknowledge = None
    site.write_config()
    site.archive(theirs)
    site.repositories, site.acknowledge = both, "all"
    site.write_config()
    reported = [f for f in found(site, theirs.name) if f["kind"] == "differs"]
    assert len(reported) == 1 and "near" in reported[0]["what"]


def test_what_is_whole_elsewhere_is_said_so(two_repositories):
    site = two_repositories
    backed_up(site).stop()
    for what in ("a pack", "a key"):
        flip_bit(site.objects(OBJECTS[what], "far")[0], -2)
    segments(site, "far")[-2].unlink()
    reported = [f for f in findings(site) if f["kind"] in ("damaged", "missing", "gap")]
    assert {f["repository"] for f in reported} == {"far"} and len(reported) >= 2
    assert {f.get("whole_in") for f in reported} == {"near"}, reported


# find


def test_find_names_backup_segment_and_record(shared):
    shared.source.sql("SELECT pg_create_restore_point('marked')")
    segment = shared.source.archive_now()
    report = shared.json("find", "--name", "marked")
    assert report["label"] == shared.backup["label"] and report["last_segment"] == segment
    assert report["repositories"] == ["near", "far"] and report["last_segment_in"] == ["near", "far"]
    said = shared.pgcairn("find", "--name", "marked").stdout
    assert segment in said and report["stop_lsn"] in said


def test_find_joins_what_two_repositories_have(two_repositories):
    """Either repository lacks a segment, and together they have all."""
    site = two_repositories
    source = backed_up(site)
    source.sql("SELECT pg_create_restore_point('marked')")
    source.archive_now()
    segments(site, "near")[-2].unlink()
    segments(site, "far")[-3].unlink()
    assert site.json("find", "--name", "marked")["label"] == site.backup["label"]
    assert site.info("near")["gaps"] and site.info("far")["gaps"]


@pytest.mark.parametrize("args", [
    ("--name", "never given"), ("--lsn", "7F/0"), ("--lsn", "0/1"), ("--time", "2001-01-01T00:00:00Z"),
    ("--time", "2101-01-01T00:00:00Z"), ("--xid", "4000000000"),
])
def test_a_moment_that_cannot_be_reached_is_refused_with_a_reason(still, args):
    assert still.pgcairn("find", *args, status=4).stderr.strip()


@pytest.mark.parametrize("args", [
    (), ("--name", "a", "--lsn", "0/1"), ("--time", "yesterday"), ("--time", "2026-01-01 00:00:00"), ("--lsn", "x"), ("--xid", "2"),
    ("--name", "n" * 64),
])
def test_find_without_exactly_one_clear_moment_is_a_usage_error(still, args):
    still.pgcairn("find", *args, status=2)
