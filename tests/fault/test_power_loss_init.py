"""init on a file system that forgets: after exit 0 the keys, what this host remembers and the repository are there.

A signing key that is enrolled and gone locks the host out; an identity that is gone takes every backup with it.
"""

import itertools
import re
import shutil

import pytest

from harness import Site
from power import WORLDS, Bench, Lost, archivable

DIRECTORIES = ("keys", "repository", "repository/local", "state", "run")


@pytest.fixture(scope="module")
def fresh(request, runtime):
    """Nothing but the configuration is there."""
    with runtime.place("init") as place:
        made = Bench(runtime, place, initialized=False)
        made.files = archivable(made)
        made.take_picture()
        for path in made.picture.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        yield made
        request.config.notes.append(f"{request.module.__name__}: {made.disk.cuts} power cuts")
        made.close()


def make_directories(bench):
    """As an operator does it: nobody syncs them."""
    for name in DIRECTORIES:
        bench.runtime.make_directory(bench.site.directory / name)


def remembered(bench):
    """What init leaves on this host, by path."""
    found = {}
    for top in ("keys", "state"):
        for path in (bench.site.directory / top).rglob("*"):
            if path.is_file() and not path.name.startswith(".pgcairn-"):
                found[path.relative_to(bench.site.directory)] = path.read_bytes()
    return found


def is_initialized(bench, kept):
    """All of it is there and in use, without another init."""
    lost = [str(path) for path, content in kept.items() if remembered(bench).get(path) != content]
    if lost:
        raise Lost(f"gone after init's exit 0: {lost}")
    works(bench)


def works(bench):
    segment = bench.files["segment"]
    bench.site.archive(segment)
    assert bench.is_there(segment)
    bench.site.pgcairn("verify")


def can_be_initialized(bench):
    bench.site.pgcairn("init")
    works(bench)


@pytest.mark.parametrize("made_by", ["init", "the operator"])
def test_what_init_made_is_there_after_a_power_cut(fresh, made_by):
    with fresh.mounted(worlds=WORLDS) as mount:
        if made_by == "the operator":
            make_directories(fresh)
        fresh.site.pgcairn("init")
        kept = remembered(fresh)
    fresh.found_in_every_world(mount, lambda: is_initialized(fresh, kept))


def every(step, start=1, **options):
    """Options for a mount, each spoiling another operation: every step-th from start on."""
    (name,) = options
    return ({name: number} for number in itertools.count(start, step))


def cuts_during_init(bench, spoiled, worlds):
    for option in spoiled:
        with bench.mounted(worlds=worlds, **option) as mount:
            bench.site.pgcairn("init", status=None)
        bench.found_in_every_world(mount, lambda: can_be_initialized(bench))
        if mount.hit is None:
            break


def kills_during_init(bench, spoiled, worlds, again):
    """init is killed; again goes on with what it left, and the check says what has to be there then."""
    killed = 0
    for option in spoiled:
        with bench.mounted(worlds=worlds, **option) as mount:
            if bench.site.pgcairn("init", status=None).returncode == 0:
                break
            check = again()
        killed += 1
        if check:
            bench.found_in_every_world(mount, check)
    return killed


def init_again(bench):
    bench.site.pgcairn("init")
    kept = remembered(bench)
    return lambda: is_initialized(bench, kept)


def archive_at_once(bench):
    """Nobody repeats init: where archiving works all the same, what it acknowledged can be read."""
    segment = bench.files["segment"]
    if not bench.attempt(segment):
        return None
    return lambda: bench.holds([segment], [segment])


AGAIN = {"init": init_again, "archiving": archive_at_once}


def test_power_cuts_during_init(fresh):
    cuts_during_init(fresh, every(29, cut_at=True), 2)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1, 9))
def test_a_power_cut_at_any_operation_of_init(fresh, start):
    cuts_during_init(fresh, every(8, start, cut_at=True), 3)


@pytest.mark.parametrize("what", AGAIN)
def test_what_follows_a_killed_init_is_as_good_as_if_it_had_not_been_killed(fresh, what):
    with fresh.mounted() as mount:
        fresh.site.pgcairn("init")
    moments = [n + 1 for n in mount.numbers("link /(keys/signers|keys/comparison-key|repository/.*/(lineage|signers)/0000)")]
    assert len(moments) == 4
    assert kills_during_init(fresh, ({"kill_at": n} for n in moments), 1, lambda: AGAIN[what](fresh)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1, 5))
@pytest.mark.parametrize("what", AGAIN)
def test_what_follows_an_init_killed_at_any_operation(fresh, what, start):
    assert kills_during_init(fresh, every(4, start, kill_at=True), 2, lambda: AGAIN[what](fresh)) > 10


def test_enrolling_again_after_a_kill_makes_the_signer_durable(fresh, runtime, place):
    other = Site(runtime, place / "other")
    other.use(fresh.source)
    other.pgcairn("init")
    key = re.search(r"ed25519:\S+", (other.keys / "signers").read_text())[0]

    def enrol(**options):
        with fresh.mounted(**options) as mount:
            fresh.site.pgcairn("init")
            code = fresh.site.pgcairn("key", "enrol", key, status=None).returncode
            if code != 0:
                fresh.site.pgcairn("key", "enrol", key)
        return mount

    (link,) = enrol().numbers("link /repository/.*/signers/0001")
    mount = enrol(kill_at=link + 1)
    assert mount.hit

    def is_enrolled():
        if not fresh.site.objects("clusters/main/signers/0001"):
            raise Lost("the signer was enrolled and is gone")
        fresh.site.pgcairn("verify")

    fresh.found_in_every_world(mount, is_enrolled)


@pytest.mark.parametrize("deaf", ["files", "directories"])
def test_without_its_fsyncs_init_fails_the_check(fresh, deaf):
    with fresh.mounted(deaf=deaf) as mount:
        fresh.site.pgcairn("init")
        kept = remembered(fresh)
    with pytest.raises(AssertionError):
        fresh.found_in_every_world(mount, lambda: is_initialized(fresh, kept))
