"""Configuration that lies outside PGDATA: what the server says nothing of comes back too, and lines that lead back are told."""

import shutil

import pytest

from harness import Cluster, Site, wait_until


class Outside:
    """A cluster whose configuration lies in etc/, with files that set nothing, before and behind links."""

    def __init__(self, runtime, place):
        self.site = site = Site(runtime, place / "site")
        self.cluster = cluster = site.cluster()
        self.etc = etc = runtime.make_directory(place / "etc")
        self.linked = linked = runtime.make_directory(place / "linked")
        site.pgcairn("init")
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            (cluster.data / name).rename(etc / name)
        (etc / "conf.d").mkdir()
        (etc / "empty.d").mkdir()
        (etc / "silent.conf").write_text("# sets nothing\ninclude 'deeper/deep.conf'\n")
        (etc / "deeper").mkdir()
        (etc / "deeper/deep.conf").write_text("include 'deepest.conf'\n")
        (etc / "deeper/deepest.conf").write_text("")
        (etc / "perhaps.conf").write_text("# sets nothing either\n")
        (etc / "conf.d/a.conf").write_text("include '../beside.conf'\n")
        (etc / "conf.d/b.txt").write_text("not read\n")
        (etc / "beside.conf").write_text("# beside\n")
        (linked / "real.conf").write_text("work_mem = '5MB'\ninclude 'beside.conf'\n")
        (etc / "conf.d/linked.conf").symlink_to(linked / "real.conf")
        (etc / "conf.d/beside.conf").write_text("maintenance_work_mem = '17MB'\n")
        with open(etc / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write("include 'silent.conf'\ninclude_if_exists 'perhaps.conf'\ninclude_if_exists 'never.conf'\n"
                       "include_dir 'conf.d'\ninclude_dir = 'empty.d'\n"
                       f"hba_file = '{etc}/pg_hba.conf'\nident_file = '{etc}/pg_ident.conf'\n"
                       f"data_directory = '{cluster.data}'\n")
        runtime.own(etc)
        runtime.own(linked)

    def start(self):
        self.cluster.pg_ctl("start", "-w", "-l", self.cluster.log, "-o",
                            f"-p 5432 -k {self.cluster.directory} -c config_file={self.etc}/postgresql.conf")

    def append(self, text):
        with open(self.etc / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(text)

    def end(self):
        """A row behind the backup, and then the host is gone."""
        self.cluster.sql("CREATE TABLE t AS SELECT 7 AS id")
        self.cluster.archive_now()
        self.cluster.stop()
        shutil.rmtree(self.etc)
        shutil.rmtree(self.linked)

    def restore(self, place):
        data = self.site.runtime.make_directory(place / "copy", 0o755) / "data"
        return data, self.site.json("restore", "--pgdata", data)


@pytest.fixture
def outside(runtime, place):
    return Outside(runtime, place)


def about_includes(result):
    return [w for w in result["warnings"] if " include" in w["message"]]


def start_copy(runtime, data, result):
    command = result["start_command"]
    assert command.endswith(" start")
    copy = Cluster(runtime, data.parent)
    command = command.removesuffix(" start").replace(" -o '", f" -o '-k {copy.directory} -p 5432 ", 1) + " -w start"
    process = runtime.popen(["sh", "-c", f"{command} > {copy.directory}/said 2>&1"], cwd="/")
    assert process.wait(timeout=60) == 0, (data / "startup.log").read_text()
    wait_until(lambda: copy.value("SELECT pg_is_in_recovery()") is False, "the end of recovery")
    return copy


def test_included_files_that_set_nothing_come_back_and_the_copy_starts(runtime, place, outside):
    outside.start()
    outside.site.pgcairn("backup")
    outside.end()
    data, result = outside.restore(place)
    kept = data / f"pgcairn.config{outside.etc}"
    assert sorted(str(p.relative_to(kept)) for p in kept.rglob("*") if p.is_file()) == [
        "beside.conf", "conf.d/a.conf", "conf.d/beside.conf", "conf.d/linked.conf", "deeper/deep.conf", "deeper/deepest.conf",
        "perhaps.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.conf", "silent.conf"]
    assert (kept / "silent.conf").read_text() == "# sets nothing\ninclude 'deeper/deep.conf'\n"
    assert about_includes(result) == [] and result["warnings"] == []
    copy = start_copy(runtime, data, result)
    assert copy.value("SELECT id FROM t") == 7
    assert (copy.value("SHOW work_mem"), copy.value("SHOW maintenance_work_mem")) == ("5MB", "17MB")
    copy.stop()


def test_an_absolute_include_is_told_with_the_line_to_write(runtime, place, outside):
    outside.append(f"include '{outside.linked}/away.conf'\ninclude_dir = '{outside.linked}/away.d' # both stay the original's\n"
                   f"include_if_exists '{outside.linked}/never.conf'\n")
    lines = len((outside.etc / "postgresql.conf").read_text().splitlines())
    (outside.linked / "away.conf").write_text("# sets nothing\n")
    (outside.linked / "away.d").mkdir()
    (outside.linked / "away.d/x.conf").write_text("work_mem = '6MB'\n")
    runtime.own(outside.linked)
    outside.start()
    outside.site.pgcairn("backup")
    data, result = outside.restore(place)  # the original is still there: its live files would be read
    file, away = data / f"pgcairn.config{outside.etc}/postgresql.conf", data / f"pgcairn.config{outside.linked}"
    first, second, third = about_includes(result)
    assert f"'{file}' line {lines - 2} still names" in first["message"] and f"include '{outside.linked}/away.conf'" in first["message"]
    assert first["hint"] == f"before the first start write there: include '{away}/away.conf'"
    assert f"'{file}' line {lines - 1} " in second["message"]
    assert second["hint"] == f"before the first start write there: include_dir '{away}/away.d'"
    assert f"'{file}' line {lines} " in third["message"] and "not in the backup" in third["hint"]
    outside.end()
    text = outside.site.pgcairn("restore", "--pgdata", data.parent / "second").stdout
    assert f"line {lines - 2} still names the original's place: include '{outside.linked}/away.conf'" in text
    # what it says is enough
    written = file.read_text().splitlines()
    for number, warning in ((lines - 2, first), (lines - 1, second)):
        written[number - 1] = warning["hint"].partition(": ")[2]
    file.write_text("\n".join(written[:-1]) + "\n")
    copy = start_copy(runtime, data, result)
    assert copy.value("SHOW work_mem") == "6MB"
    assert copy.value("SELECT count(*) FROM pg_file_settings WHERE sourcefile NOT LIKE %s", f"{data}/%") == 0
    copy.stop()


def test_an_include_that_leads_nowhere_is_told(place, outside):
    outside.start()
    (outside.etc / "silent.conf").unlink()  # the server runs on; the next start would fail
    said = outside.site.pgcairn("backup").stderr
    assert f"configuration file '{outside.etc}/silent.conf' is not in this backup" in said
    outside.end()
    data, result = outside.restore(place)
    assert [w["hint"] for w in about_includes(result)] == [
        "it is not in the backup: before the first start take the line out, or make "
        f"'{data}/pgcairn.config{outside.etc}/silent.conf'"]


def test_absolute_includes_of_a_cluster_with_its_configuration_in_pgdata(runtime, place):
    site = Site(runtime, place / "site")
    cluster = site.cluster()
    shared = runtime.make_directory(place / "shared")
    (shared / "common.conf").write_text("# nothing yet\n")
    (cluster.data / "mine.conf").write_text(f"include '{shared}/common.conf'\n")
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write("include 'mine.conf'\n")
    runtime.own(shared)
    runtime.own(cluster.data / "mine.conf")
    cluster.start()
    site.pgcairn("init")
    site.pgcairn("backup")
    cluster.archive_now()
    cluster.stop()
    data = runtime.make_directory(place / "copy", 0o755) / "data"
    warning, = about_includes(site.json("restore", "--pgdata", data))
    assert f"'{data}/mine.conf' line 1 " in warning["message"]
    assert warning["hint"] == f"before the first start write there: include '{data}/pgcairn.config{shared}/common.conf'"
