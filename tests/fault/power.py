"""A site on the file system that forgets, and what must hold of it after a power cut."""

import shutil

from forgetful import Disk
from harness import Cluster, Site

FORMS = {  # how the store publishes a file here
    "unnamed": {},
    "link": {"no_unnamed": True},
    "rename": {"no_unnamed": True, "no_links": True},
}
FETCHED = {0, 1}
WORLDS = 4


class Lost(AssertionError):
    """Something that was acknowledged is gone."""


class Bench:
    """A site of which a picture is kept; the site itself is there while it is mounted.

    The source's data directory is on a sound disk: what PostgreSQL's own fsyncs are worth is not the question here.
    """

    def __init__(self, runtime, place, initialized=True, **options):
        self.runtime, self.place = runtime, place
        self.raw = runtime.make_directory(place / "raw")
        self.site = Site(runtime, place / "site", **options)
        self.target = place / "fetched"
        self.picture = place / "picture"
        self.disk = Disk(runtime, self.site.directory, place / "disk")
        self.source = Cluster.create(runtime, place / "source", archive_mode="on", archive_command=f"cp %p {self.raw}/%f")
        self.site.use(self.source)
        if initialized:
            self.site.pgcairn("init")

    def take_picture(self):
        """From now on the site is empty unless it is mounted: an archiver that runs finds no repository then."""
        self.site.directory.rename(self.picture)
        self.runtime.make_directory(self.site.directory, 0o755)

    def mounted(self, **options):
        return self.disk.mounted(self.picture, **options)

    def attempt(self, *paths):
        """Archive these files in turn; those that were acknowledged."""
        return [path for path in paths if self.site.archive(path, status=None).returncode == 0]

    def is_there(self, path, repository=None):
        """Whether the repository gives the file back, and then the same bytes."""
        options = ("--repository", repository) if repository else ()
        code = self.site.fetch(path.name, self.target, status=FETCHED, options=options).returncode
        if code == 0:
            assert self.target.read_bytes() == path.read_bytes(), f"{path.name} came back with other bytes"
            self.target.unlink()
        return code == 0

    def holds(self, paths, acknowledged):
        """What a world must look like in which these files were tried; the next try makes everything good."""
        for path in paths:
            if not self.is_there(path) and path in acknowledged:
                raise Lost(f"{path.name} was acknowledged and is gone")
        self.site.pgcairn("verify")
        for path in paths:
            self.site.archive(path)
            for repository in self.site.repositories:
                assert self.is_there(path, repository), f"{path.name} is not in {repository} after another try"
        assert not self.site.objects("clusters/*/conflict/**/*")

    def found_in_every_world(self, mount, check):
        """Cut the power, come up again in each world of this mount, and look."""
        for world in mount.worlds:
            with self.disk.found_again(world):
                try:
                    check()
                except AssertionError as error:
                    log = "\n".join([line for line in mount.log if " write " not in line][-200:])
                    raise type(error)(f"in world {world.name} after {mount.hit or 'the end'}: {error}\n{log}") from error
        mount.drop()

    def close(self):
        self.disk.close()
        shutil.rmtree(self.picture, ignore_errors=True)


def archivable(bench):
    """One file of each kind that is archived, by kind: from the source server, which is stopped then."""
    source = bench.source
    source.start()
    source.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 300000))")
    segment = bench.raw / source.archive_now()
    source.sql("SELECT pg_backup_start('x', true)")
    source.sql("SELECT pg_logical_emit_message(false, 'x', repeat('y', 300000))")
    following = bench.raw / source.archive_now()
    source.stop()
    partial = bench.raw / f"{following.name}.partial"
    shutil.copy(following, partial)
    history = bench.raw / "00000002.history"
    history.write_text("1\t0/3000000\tno recovery target specified\n")
    label = bench.raw / f"{segment.name}.00000028.backup"
    label.write_text(f"START WAL LOCATION: 0/3000028 (file {segment.name})\nSTOP WAL LOCATION: 0/3000100 (file {segment.name})\n"
                     "CHECKPOINT LOCATION: 0/3000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n"
                     "START TIME: 2026-01-31 14:59:00 UTC\nLABEL: x\nSTART TIMELINE: 1\n"
                     "STOP TIME: 2026-01-31 14:59:01 UTC\nSTOP TIMELINE: 1\n")
    bench.runtime.own(bench.raw)
    return {"segment": segment, "following": following, "history": history, "backup": label, "partial": partial}
