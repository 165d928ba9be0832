"""Archiving over what lies in the repository already, damaged or unreadable: it must not count."""

import shutil

import pytest

from harness import flip_bit

FAILED = set(range(1, 126))


@pytest.fixture
def ready(site, segments):
    site.use(segments[-1])
    site.pgcairn("init")
    return site


@pytest.fixture
def ready_two(two_repositories, segments):
    two_repositories.acknowledge = "1"
    two_repositories.use(segments[-1])
    two_repositories.pgcairn("init")
    return two_repositories



def test_a_damaged_object_in_one_repository_does_not_keep_the_other_from_getting_it(ready_two, segments):
    ready_two.archive(segments[0])
    flip_bit(ready_two.segment_object(segments[0].name, "near"), -10)
    ready_two.segment_object(segments[0].name, "far").unlink()
    ready_two.archive(segments[0])
    assert ready_two.segment_object(segments[0].name, "far")


def test_an_object_with_a_damaged_frame_does_not_count_as_stored(ready, segments):
    ready.archive(segments[0])
    flip_bit(ready.segment_object(segments[0].name), 600)
    assert "damaged" in (said := ready.archive(segments[0], status=FAILED).stderr) or "digest" in said


def test_a_key_that_the_repository_lost_is_put_back_before_the_next_segment(ready, segments):
    ready.archive(segments[0])
    shutil.rmtree(ready.repositories["local"] / "clusters/main/keys")
    ready.archive(segments[1])
    ready.fetch(segments[1].name, ready.directory / "fetched")


def test_a_segment_that_nobody_can_read_does_not_count_as_stored(ready, segments):
    ready.archive(segments[0])
    shutil.rmtree(ready.repositories["local"] / "clusters/main/keys")
    assert "lost the key" in ready.archive(segments[0], status=FAILED).stderr
