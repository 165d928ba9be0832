"""Small sites for the sweeps, put back between two runs, and what must hold after every fault."""

import contextlib
import os
import pathlib
import shutil
import time

from harness import Cluster, Site, wait_until

PIECES = ("repository", "state", "keys", "run")
FAILED = set(range(1, 126))
KILLED = {137}
DAYS_AGO = 2 * 86400


def with_segments(runtime, place, count=2, message="x", segment_mb=1, **options):
    """An initialized site and closed segments of its stopped cluster that are not archived yet."""
    raw = runtime.make_directory(place / "raw")
    cluster = Cluster.create(runtime, place / "source", segment_mb, archive_mode="on", archive_command=f"cp %p {raw}/%f")
    cluster.start()
    site = Site(runtime, place / "site", **options)
    site.use(cluster)
    site.pgcairn("init")
    site.segments = []
    for _ in range(count):
        cluster.sql(f"SELECT pg_logical_emit_message(false, 'x', repeat('{message}', 300000))")
        site.segments.append(raw / cluster.archive_now())
    cluster.stop()
    take_picture(site)
    return site


def archived_without(site, name):
    """The segments are archived while this repository is away: it misses them."""
    away = site.directory / "away"
    site.repositories[name].rename(away)
    for segment in site.segments:
        site.archive(segment)
    away.rename(site.repositories[name])


def take_picture(site):
    for name in PIECES:
        picture = site.directory / f"{name}.picture"
        shutil.rmtree(picture, ignore_errors=True)
        site.runtime.run(["cp", "-a", site.directory / name, picture])


def put_back(site):
    """Repositories, state and keys as they were in the picture."""
    for name in PIECES:
        shutil.rmtree(site.directory / name, ignore_errors=True)
    site.runtime.run(["sh", "-c", 'for p; do cp -a "$p.picture" "$p"; done', "sh", *PIECES], cwd=site.directory)


def litter(site):
    """What no object, no key and no state of the site is."""
    found = []
    for top, _, names in os.walk(site.directory):
        if ".picture" in top:
            continue
        in_tmp = pathlib.Path(top).name == "tmp"
        found += [pathlib.Path(top) / n for n in names if in_tmp or n.startswith(".pgcairn-") or n.endswith(".pgcairn")]
    return found


def no_litter(site):
    """None that stays: a server's archiver may be at work, and what it has under its hands goes away."""
    wait_until(lambda: not litter(site), "litter to go away", timeout=10)


def grow_old(paths):
    then = time.time() - DAYS_AGO
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # as in no_litter
            os.utime(path, (then, then))


def no_litter_for_ever(site, injector, refuse=()):
    """A day later: the epoch is another, the next segment was stored, and somebody ran init again."""
    left = litter(site)
    if not left:
        return
    grow_old(left)
    (site.directory / "state/epochs/main.json").unlink(missing_ok=True)
    command = site.command("pgcairn-wal-archive", site.segments[-1], site.segments[-1].name)
    injector.run(command, ["/nowhere"], refuse=refuse, status=0, cwd=site.pgdata)
    site.pgcairn("init")
    assert not litter(site)


def no_conflict(site):
    for repository in site.repositories.values():
        assert not any(repository.glob("clusters/*/conflict/**/*"))


def absent_or_whole(site, result, options=(), answers=True):
    """Each segment, and all are there when the spoiled run answered 0, which of one that ends when told means nothing."""
    target = site.directory / "fetched"
    for segment in site.segments:
        code = site.fetch(segment.name, target, status={0, 1}, options=options).returncode
        assert code == 0 or result.returncode != 0 or not answers, f"answered with 0 and not there: {result.hit}"
        assert code == 1 or target.read_bytes() == segment.read_bytes(), result.hit
        target.unlink(missing_ok=True)


def fetched_from_each(site, segment):
    """The segment comes back whole, from every repository alone."""
    target = site.directory / "fetched"
    for name in site.repositories:
        site.fetch(segment.name, target, options=("--repository", name))
        assert target.read_bytes() == segment.read_bytes()
        target.unlink()
