"""What test_reports.py and test_check.py have in common: sites with a backup, and ways to ask the reports."""

import shutil

import pytest

from harness import Cluster, Site


def fill(cluster, rows=100):
    cluster.sql("CREATE TABLE IF NOT EXISTS t (id bigserial, filler text)")
    cluster.sql("INSERT INTO t (filler) SELECT repeat('f', 20) FROM generate_series(1, %s)", rows)


def backed_up(site, segments=4, **options):
    """A running source with a backup and a few closed segments behind it."""
    source = site.cluster(**options)
    source.start()
    site.pgcairn("init")
    fill(source)
    site.backup = site.json("backup", "--full")
    for _ in range(segments):
        fill(source)
        source.archive_now()
    return source


@pytest.fixture(scope="module")
def shared(runtime):
    """Two repositories, one backup, a running server."""
    with runtime.place("reports") as place:
        site = Site(runtime, place / "site", repositories=("near", "far"))
        site.source = backed_up(site)
        yield site


@pytest.fixture(scope="module")
def still(runtime):
    """One repository of a server that is stopped."""
    with runtime.place("still") as place:
        site = Site(runtime, place / "site")
        backed_up(site).stop()
        yield site


@pytest.fixture
def spoilable(still):
    """The repository is put back as it was."""
    repository = still.repositories["local"]
    kept = repository.with_name("kept")
    still.runtime.run(["cp", "-a", repository, kept])
    yield still
    shutil.rmtree(repository, ignore_errors=True)
    kept.rename(repository)


@pytest.fixture
def without_identity(still):
    identity = still.keys / "identity"
    identity.rename(identity.with_name("away"))
    yield
    identity.with_name("away").rename(identity)


@pytest.fixture
def without_far(shared):
    far = shared.repositories["far"]
    far.rename(far.with_name("away"))
    yield
    far.with_name("away").rename(far)


def segments(site, repository=None):
    return [p for p in site.objects(f"clusters/{site.name}/wal/*/*/*/*", repository) if len(p.name) == 24]


def findings(site, status=3, options=()):
    return site.json("verify", *options, status=status)["findings"]


def found(site, name, options=()):
    """The findings about one object."""
    return [f for f in findings(site, options=options) if name in f["object"]]


def problems(site, status=3, options=()):
    """What check calls a warning or critical, by its word."""
    report = site.json("check", *options, status=status)
    return {f["check"]: f for f in report["findings"] if f["severity"] in ("warning", "critical")}


def twin_segment(site, runtime, place):
    """A segment of a cluster with the same system identifier, under a name that the site has archived: other content."""
    raw = runtime.make_directory(place / "raw")
    twin = Cluster.create(runtime, place / "twin", archive_mode="on", archive_command=f"cp %p {raw}/%f")
    twin.start()
    ours = {p.name for p in segments(site)}
    while not any(p.name in ours for p in raw.iterdir()):
        fill(twin)
        twin.archive_now()
    return next(p for p in sorted(raw.iterdir()) if p.name in ours)


def first_segment_of(site, backup):
    """The segment in which a backup starts; segments of these tests are 1 MB."""
    high, low = (int(part, 16) for part in backup["start_lsn"].split("/"))
    return f"{backup['timeline']:08X}{high:08X}{low >> 20:08X}"
