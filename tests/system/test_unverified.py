"""WAL of a PostgreSQL that this pgcairn does not know is stored as it comes; whoever asks is told how much of it there is."""

import pytest

from harness import Site
from reports import backed_up, fill, problems

PAGE = 8192
UNKNOWN = b"\xff\xd1"  # a page magic of a major to come


@pytest.fixture
def later(runtime, place):
    """A good segment behind a backup, and one whose pages say that a later major wrote them."""
    site = Site(runtime, place / "site")
    source = backed_up(site, segments=1)
    site.pgcairn("stop", "--reason", "to keep a segment back")
    fill(source)
    path = source.data / "pg_wal" / source.switch_wal()
    source.stop("immediate")
    site.pgcairn("start")
    site.before = site.info()["unverified_segments"], site.json("verify")["unverified_segments"]
    wal = bytearray(path.read_bytes())
    for at in range(0, len(wal), PAGE):
        if any(wal[at:at + PAGE]):
            wal[at:at + 2] = UNKNOWN
    path.write_bytes(wal)
    assert "stored unverified" in site.archive(path).stderr
    site.segment = path.name
    return site


def test_info_verify_and_check_say_how_many_segments_nobody_looked_into(later):
    assert later.before == (0, 0)
    assert later.info()["unverified_segments"] == 1
    assert f"1 of them behind a backup are UNVERIFIED, the last is {later.segment}" in later.pgcairn("info").stdout
    verified = later.json("verify")
    assert (verified["clean"], verified["unverified_segments"]) == (True, 1)
    assert "1 segments of WAL were stored unverified" in later.pgcairn("verify").stdout
    finding = problems(later)["unverified"]
    assert finding["severity"] == "warning" and later.segment in finding["what"] and "pgcairn" in finding["remedy"]
