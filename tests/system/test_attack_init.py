"""init and restore where they could spoil what is there: several at once, root, paths that lead to one place."""

import shutil
import subprocess

import pytest

from harness import Cluster


@pytest.fixture(scope="module")
def source(runtime):
    """A stopped cluster and a plain copy of one of its segments."""
    with runtime.place("attack") as place:
        raw = runtime.make_directory(place / "raw")
        cluster = Cluster.create(runtime, place / "source", archive_mode="on", archive_command=f"cp %p {raw}/%f")
        cluster.start()
        cluster.sql("SELECT pg_logical_emit_message(false, 'x', 'x')")
        cluster.segment = raw / cluster.archive_now()
        cluster.stop()
        yield cluster


@pytest.mark.parametrize("attempt", range(12))
def test_inits_at_once_make_one_cluster_that_works(two_repositories, source, attempt):
    """One may fail; none may take away what another has made."""
    site = two_repositories
    site.use(source)
    racing = [site.runtime.popen(site.command("pgcairn", "init"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
              for _ in range(3)]
    for process in racing:
        process.wait(60)
    site.pgcairn("init")
    site.archive(source.segment)
    site.fetch(source.segment.name, site.directory / "fetched")


@pytest.mark.parametrize("call,number", [("linkat", n) for n in range(1, 14, 2)])
def test_an_init_that_was_killed_is_completed_by_the_next(two_repositories, source, call, number):
    site = two_repositories
    site.use(source)
    site.runtime.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}",
                      *site.command("pgcairn", "init")], status=None, env={"ASAN_OPTIONS": "detect_leaks=0"})
    site.pgcairn("init")
    site.archive(source.segment)


def test_the_founding_that_another_host_has_begun_is_left_alone(site, source, runtime):
    site.use(source)
    site.pgcairn("init")
    (site.repositories["local"] / "clusters/main/signers/0000").unlink()
    begun = site.objects("clusters/main/**/*")
    shutil.rmtree(site.directory / "state")
    runtime.make_directory(site.directory / "state")
    (site.keys / "signers").unlink()
    assert "another founding" in site.pgcairn("init", status=4).stderr
    assert site.objects("clusters/main/**/*") == begun


def test_a_url_with_an_escaped_byte_means_one_directory_everywhere(site, source):
    site.use(source)
    site.write_config(site.config_text().replace("repository/local", "repository/my%20own"))
    site.pgcairn("init")
    assert (site.directory / "repository/my own/pgcairn.json").exists()
    assert not (site.directory / "repository/my%20own").exists()


def test_an_escaped_byte_hides_no_repository_inside_of_pgdata(site, source):
    site.use(source)
    inside = str(source.data / "backup").replace("data", "%64ata")
    site.write_config(site.config_text().replace(str(site.repositories["local"]), inside))
    assert "inside one another" in site.pgcairn("init", status=4).stderr
    assert not (source.data / "backup").exists()


def test_root_makes_directories_that_the_server_can_reach(site, source):
    if not site.runtime.user:
        pytest.skip("not root")
    site.use(source)
    text = site.config_text()
    for name, deep in (("repository/local", "a/b/repository"), ("/state", "/c/d/state"), ("/keys/", "/e/f/keys/")):
        text = text.replace(f"{site.directory}{'' if name[0] == '/' else '/'}{name}", f"{site.directory}{'' if deep[0] == '/' else '/'}{deep}")
    site.write_config(text)
    made = subprocess.run([str(a) for a in site.command("pgcairn", "init")], env=site.runtime.environment(), capture_output=True,
                          text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    site.archive(source.segment)


@pytest.mark.parametrize("alias", ["{}/", "{}/.", "{}/../one", "{}/below"])
def test_two_tablespaces_in_one_place_are_refused_however_it_is_written(site, runtime, place, alias):
    cluster = site.cluster()
    cluster.start()
    site.pgcairn("init")
    for name in ("one", "two"):
        space = runtime.make_directory(place / name)
        cluster.sql(f"CREATE TABLESPACE {name} LOCATION '{space}'")
    oids = [row[0] for row in cluster.sql("SELECT oid FROM pg_tablespace WHERE spcname IN ('one', 'two') ORDER BY 1")]
    site.json("backup", "--full")
    cluster.archive_now()
    target = place / "new" / "one"
    said = site.refuse_restore("--tablespace", f"{oids[0]}={target}", "--tablespace", f"{oids[1]}={alias.format(target)}")
    assert "one place" in said
