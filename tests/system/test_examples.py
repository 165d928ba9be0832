"""What lies in examples/ works as it stands: units that systemd takes and that are shut tight, a configuration that is one."""

import re
import shutil
import subprocess

import pytest

from harness import REPO, Site
from reports import fill, segments

UNITS = REPO / "examples/systemd"
SERVICES = sorted(p.name for p in UNITS.glob("*.service"))
EXPOSURE_MAX = 3.0


def analyze(*args, check=True):
    """systemd-analyze needs no running systemd for what is asked here."""
    return subprocess.run(["systemd-analyze", "--no-pager", *map(str, args)], check=check, capture_output=True, text=True, timeout=60)


@pytest.fixture
def units(place, runtime):
    """Copies that name a binary which is there."""
    folder = place / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("/usr/local/bin/pgcairn", str(runtime.bin / "pgcairn")))
    return folder


def exposure(path):
    said = analyze("security", "--offline=true", path, check=False)
    found = re.search(r"Overall exposure level for \S+ ([0-9.]+)", said.stdout)
    assert found, said.stdout + said.stderr
    return float(found[1])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_shut_tight(name):
    assert exposure(UNITS / name) < EXPOSURE_MAX


def test_a_service_that_is_not_would_be_seen(place):
    open_one = place / "open.service"
    open_one.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(open_one) > EXPOSURE_MAX


def test_systemd_takes_the_units(units):
    said = analyze("verify", "--man=no", *sorted(units.iterdir()))
    assert said.stderr.strip() == ""


@pytest.mark.parametrize("spoil, word", [
    (("[Service]\n", "[Service]\nWatchdogSecs=60\n"), "Unknown key"),
    (("WatchdogSec=60s", "WatchdogSec=soon"), "Failed to parse"),
    (("Type=notify", "Type=notified"), "Failed to parse"),
])
def test_systemd_does_not_take_wrong_ones(units, spoil, word):
    path = units / "pgcairn-agent.service"
    assert spoil[0] in path.read_text()
    path.write_text(path.read_text().replace(*spoil, 1))
    assert word in analyze("verify", "--man=no", path, check=False).stderr


def settings(name):
    """The last value of each key, as in systemd; those that add up as a list of lines."""
    lines = [line.split("=", 1) for line in (UNITS / name).read_text().splitlines() if "=" in line and line[0] not in "#;"]
    return {key: [v for k, v in lines if k == key] for key, _ in lines}


def test_the_agent_runs_as_the_server_s_user_and_writes_to_repositories_alone():
    unit = settings("pgcairn-agent.service")
    assert unit["User"] == ["postgres"] and unit["Type"] == ["notify"] and unit["WatchdogSec"] and unit["Restart"] == ["always"]
    assert unit["ProtectSystem"] == ["strict"] and unit["ReadWritePaths"] == ["-/srv/backup"]
    assert unit["RuntimeDirectory"] == unit["StateDirectory"] == ["pgcairn"]
    assert unit["RuntimeDirectoryPreserve"] == ["yes"], "a backup's lock lies there"
    assert "identity" in unit["InaccessiblePaths"][0]


def allowed_calls(name):
    """What SystemCallFilter leaves, with systemd's groups written out."""
    groups, current = {}, None
    for line in analyze("syscall-filter").stdout.splitlines():
        line = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if line.startswith("@"):
            current = groups.setdefault(line.strip(), set())
        elif line.strip() and not line.strip().startswith("#") and current is not None:
            current.add(line.strip())

    def expand(word):
        return set().union(*(expand(w) for w in groups[word])) if word.startswith("@") else {word}

    allowed = set()
    for value in settings(name)["SystemCallFilter"]:
        for word in value.lstrip("~").split():
            allowed = allowed - expand(word) if value.startswith("~") else allowed | expand(word)
    return allowed | expand("@default")


def calls_of(runtime, place, command):
    """The system calls that a command makes, with all its threads; killed ones of the sanitizers' reports are not among them."""
    log = place / "calls"
    log.touch()
    runtime.own(log)
    runtime.run(["strace", "-f", "-qq", "-o", log, *command], env={"ASAN_OPTIONS": "detect_leaks=0"})
    return set(re.findall(r"^\d+ +([a-z_0-9]+)\(", log.read_text(), re.MULTILINE))


def test_the_filters_let_pass_what_agent_and_backup_do(runtime, two_repositories):
    site = two_repositories
    cluster = site.cluster()
    cluster.start()
    site.pgcairn("init")
    called = calls_of(runtime, site.directory, site.command("pgcairn", "backup", "--full"))
    assert {"openat", "fsync", "connect"} <= called and called <= allowed_calls("pgcairn-backup.service"), called - allowed_calls(
        "pgcairn-backup.service")
    cluster.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    cluster.sql("SELECT pg_reload_conf()")
    fill(cluster)
    waiting = cluster.switch_wal()
    called = calls_of(runtime, site.directory, site.command("pgcairn", "agent", "--once"))
    assert waiting in {p.name for p in segments(site, "far")}, "the agent did its work"
    assert {"fsync", "linkat"} <= called and called <= allowed_calls("pgcairn-agent.service"), called - allowed_calls(
        "pgcairn-agent.service")
    assert "ptrace" not in allowed_calls("pgcairn-agent.service") and "setuid" not in allowed_calls("pgcairn-agent.service")


def test_the_agent_reads_no_identity(runtime, two_repositories):
    site = two_repositories
    cluster = site.cluster()
    cluster.start()
    site.pgcairn("init")
    cluster.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    cluster.sql("SELECT pg_reload_conf()")
    waiting = cluster.switch_wal()
    (site.keys / "identity").rename(site.directory / "identity")
    site.pgcairn("agent", "--once")
    assert waiting in {p.name for p in segments(site, "near")}


def test_the_configuration_with_two_repositories_is_one(runtime, place):
    """As it stands: understood to the last line; its places are not there."""
    text = (REPO / "examples/two-repositories.conf").read_text()
    site = Site(runtime, place / "site", repositories=("near", "far"), name="orders")
    site.write_config(text)
    report = site.json("info", status=1)
    assert [(r["name"], r["state"]) for r in report["repositories"]] == [("near", "unreachable"), ("far", "unreachable")]
    site.write_config(text.replace("acknowledge = 1", ""))
    assert "acknowledge is not set" in site.pgcairn("info", status=2).stderr


def test_a_site_works_with_it(runtime, place):
    site = Site(runtime, place / "site", repositories=("near", "far"), name="orders")
    cluster = site.cluster()
    text = (REPO / "examples/two-repositories.conf").read_text()
    for place_there, here in (("/var/lib/pgcairn", site.directory / "state"), ("/run/pgcairn", site.directory / "run"),
                              ("/var/lib/postgresql/15/main", cluster.data), ("host=/var/run/postgresql user=pgcairn", cluster.conninfo),
                              ("/srv/backup/near/pgcairn", site.repositories["near"]), ("/srv/backup/far/pgcairn", site.repositories["far"]),
                              ("/etc/pgcairn/", f"{site.keys}/")):
        assert place_there in text
        text = text.replace(place_there, str(here))
    site.write_config(text)
    cluster.start()
    site.pgcairn("init")
    site.json("backup", "--full")
    far = site.repositories["far"]
    far.rename(far.with_name("away"))
    closed = cluster.archive_now()
    assert closed in {p.name for p in segments(site, "near")}, "one of them is enough"
    far.with_name("away").rename(far)
    site.pgcairn("check")
