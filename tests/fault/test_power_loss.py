"""Exit 0 means durable: the power is cut, and what archiving acknowledged is there.

The site lies on a file system that forgets what was not fsynced (forgetful.c). After a cut it is found again in several worlds:
one in which nothing survived but what was synced, one in which everything did, and some in which chance decided for each name
and each page. What was acknowledged has to be in all of them, and nothing half-made in any.
"""

import itertools

import pytest

from power import FORMS, WORLDS, Bench, Lost, archivable

KINDS = ["segment", "history", "backup", "partial"]
SHORT = ("unnamed", "segment")  # what runs in the short tier of the tests that take every form or kind
PARTS = [None, "repository", "state"]  # what lies on the disk that forgets; None: the keys as well


def slow_unless(short, values):
    return [v if v in short else pytest.param(v, marks=pytest.mark.slow) for v in values]


def module_bench(request, runtime, name, **options):
    with runtime.place(name) as place:
        made = Bench(runtime, place, **options)
        made.files = archivable(made)
        made.take_picture()
        yield made
        request.config.notes.append(f"{request.module.__name__}: {made.disk.cuts} power cuts ({name})")
        made.close()


@pytest.fixture(scope="module")
def bench(request, runtime):
    yield from module_bench(request, runtime, "one-repository")


@pytest.fixture(scope="module")
def two(request, runtime):
    yield from module_bench(request, runtime, "two-repositories", repositories=("near", "far"))


THIRDS = pytest.mark.parametrize("start", (1, 2, 3))  # every operation is hit by one of three tests


def sweep(bench, start, step, act, option="cut_at", **options):
    """Do it again and again, each time with another operation spoiled; (mount, what act gave) for each."""
    for number in itertools.count(start, step):
        with bench.mounted(**{option: number}, **options) as mount:
            result = act()
        yield mount, result
        if mount.hit is None:
            break


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", slow_unless(SHORT, KINDS))
def test_what_was_acknowledged_is_there_after_a_power_cut(bench, kind, form):
    file = bench.files[kind]
    with bench.mounted(worlds=WORLDS, **FORMS[form]) as mount:
        bench.site.archive(file)
    bench.found_in_every_world(mount, lambda: bench.holds([file], [file]))


def test_all_kinds_one_after_the_other_are_there_after_a_power_cut(bench):
    files = list(bench.files.values())
    with bench.mounted(worlds=3) as mount:
        assert bench.attempt(*files) == files
    bench.found_in_every_world(mount, lambda: bench.holds(files, files))


def cuts_at_many_moments(bench, files, worlds, start=1, step=3, **options):
    cut = 0
    for mount, acknowledged in sweep(bench, start, step, lambda: bench.attempt(*files), worlds=worlds, **options):
        cut += mount.hit is not None
        bench.found_in_every_world(mount, lambda done=acknowledged: bench.holds(files, done))
    assert cut > 3, "the sweep hit nothing"
    assert acknowledged == files, "the last run, which nothing hit, failed"


def test_power_cuts_while_two_segments_are_archived(bench):
    cuts_at_many_moments(bench, [bench.files["segment"], bench.files["following"]], step=17, worlds=2)


@pytest.mark.slow
@THIRDS
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_at_any_operation_of_archiving(bench, kind, form, part, start):
    cuts_at_many_moments(bench, [bench.files[kind]], worlds=3, start=start, only=part, **FORMS[form])


@pytest.mark.slow
@THIRDS
def test_a_power_cut_at_any_operation_of_archiving_two_segments(bench, start):
    cuts_at_many_moments(bench, [bench.files["segment"], bench.files["following"]], worlds=4, start=start, seed=7)


def test_power_cuts_between_two_repositories(two):
    cuts_at_many_moments(two, [two.files["segment"]], step=23, worlds=2)


@pytest.mark.slow
@THIRDS
@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_at_any_operation_with_two_repositories(two, kind, start):
    cuts_at_many_moments(two, [two.files[kind]], worlds=3, start=start)


def killed_and_tried_again(bench, kind, start, **options):
    """The first writer dies at some operation. The second is told "it is there": then it is, whatever comes."""
    file = bench.files[kind]
    visible = 0

    def act():
        done = bench.attempt(file)
        seen = bool(bench.site.objects(f"**/{file.name}"))
        if not done:
            bench.site.archive(file)
        return seen

    for mount, seen in sweep(bench, start, 3, act, "kill_at", **options):
        visible += mount.hit is not None and seen
        bench.found_in_every_world(mount, lambda: bench.holds([file], [file]))
    return visible


def test_the_retry_after_a_killed_writer_makes_its_object_durable(bench):
    with bench.mounted() as mount:
        bench.site.archive(bench.files["segment"])
    (link,) = mount.numbers("link /repository/.*/wal/")
    for number in (link, link + 1, link + 2):
        with bench.mounted(kill_at=number) as mount:
            assert not bench.attempt(bench.files["segment"])
            assert bool(bench.site.objects("**/wal/**/*")) == (number > link)
            bench.site.archive(bench.files["segment"])
        bench.found_in_every_world(mount, lambda: bench.holds([bench.files["segment"]], [bench.files["segment"]]))


@pytest.mark.slow
@THIRDS
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_retry_after_a_writer_killed_at_any_operation(bench, kind, form, start):
    assert killed_and_tried_again(bench, kind, start, worlds=2, **FORMS[form]), "no kill left an object that was visible"


@pytest.mark.slow
@THIRDS
def test_the_retry_after_a_writer_killed_at_any_operation_with_two_repositories(two, start):
    assert killed_and_tried_again(two, "segment", start, worlds=2)


@pytest.mark.parametrize("form", slow_unless(SHORT, FORMS))
@pytest.mark.parametrize("deaf", ["files", "directories"])
def test_without_its_fsyncs_the_same_check_goes_red(bench, deaf, form):
    file = bench.files["segment"]
    with bench.mounted(deaf=deaf, **FORMS[form]) as mount:
        bench.site.archive(file)
    with pytest.raises(AssertionError, match="was acknowledged and is gone|status"):
        bench.found_in_every_world(mount, lambda: bench.holds([file], [file]))


def test_every_place_that_archiving_syncs_matters(bench):
    """Deaf to one place at a time: the bytes of the files, and each directory that a new name appeared in."""
    file = bench.files["segment"]
    with bench.mounted() as mount:
        bench.site.archive(file)
    changed = {line.split(" ", 2)[2].rpartition("/")[0] for line in mount.log if " link /repository" in line or " mkdir /repository" in line}
    # the key's own directory has another name in every run
    places = ["/(unnamed)", *sorted(place for place in changed if "/keys/" not in place)]
    assert len(places) > 6
    for place in places:
        with bench.mounted(deaf=place) as mount:
            bench.site.archive(file)
        with pytest.raises(AssertionError):
            bench.found_in_every_world(mount, lambda: bench.holds([file], [file]))
