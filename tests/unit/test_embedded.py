"""The embedded PostgreSQL: its life is tied to ours, and what it committed survives the death of either."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db import cluster, postgres_install
from db.embedded import EmbeddedPostgres
from rfq.domain.errors import OurFault, StoreUnavailable

ROOT = Path(__file__).parents[2]

OWNER = """
import asyncio, sys
from pathlib import Path
from db.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as server:
        print(server.url, server.server_pid, server.owned, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # Not pytest's own: as root, those cannot be entered by the user the server runs as.
    made = Path(tempfile.mkdtemp(prefix="sotto-test-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def data_dir(folder: Path) -> Path:
    """A data directory whose cluster exists, with one committed row, and whose server is stopped."""
    place = folder / "data"

    async def make() -> None:
        async with EmbeddedPostgres(place) as server:
            await query(server.url, "CREATE TABLE fact (id int)")
            await query(server.url, "INSERT INTO fact VALUES (1)")

    asyncio.run(make())
    return place


async def query(url: str, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close(timeout=5)


async def query_when_back(url: str, sql: str) -> list[asyncpg.Record]:
    async with asyncio.timeout(15):
        while True:
            try:
                return await query(url, sql)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A dead child of an init that reaps nobody stays as a zombie.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def until(condition: Callable[[], object], within_s: float = 10.0) -> bool:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - other processes' states have no event
            await asyncio.sleep(0.02)
    return True


async def gone(pid: int) -> bool:
    return await until(lambda: not alive(pid))


async def own(data_dir: Path, *python: str, **spawn: Any) -> tuple[asyncio.subprocess.Process, str, int, bool]:
    """Another process that starts or joins the server: it, the URL, the server's pid, whether it owns it."""
    process = await asyncio.create_subprocess_exec(
        *(python or (sys.executable,)), "-c", OWNER, str(data_dir), cwd=ROOT, stdout=subprocess.PIPE, **spawn
    )
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    url, pid, owned = line.decode().split()
    return process, url, int(pid), owned == "True"


async def test_durable_and_reachable_only_with_the_password_on_loopback(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as server:
        for name, value in (
            *(("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on")),
            *(("listen_addresses", "127.0.0.1"), ("unix_socket_directories", "")),
        ):
            assert (await query(server.url, f"SHOW {name}"))[0][0] == value
        assert (data_dir / "password").stat().st_mode & 0o777 == 0o600
        assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700
        secret = (data_dir / "password").read_text().strip()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await query(server.url.replace(secret, "guess"), "SELECT 1")
        pid = server.server_pid
        assert pid and (os.geteuid() != 0 or os.stat(f"/proc/{pid}").st_uid != 0)
    assert await gone(pid)


async def test_a_killed_server_is_started_again_under_the_same_url(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as server:
        watch = asyncio.create_task(server.watch())
        url = server.url
        for fact in (2, 3):
            await query(url, f"INSERT INTO fact VALUES ({fact})")
            assert server.server_pid
            os.kill(server.server_pid, signal.SIGKILL)
            found = await query_when_back(url, f"SELECT count(*) FROM fact WHERE id IN (1, {fact})")
            assert found[0][0] == 2
        assert server.url == url
        await server.stop()
        await asyncio.wait_for(watch, 5)


async def test_watch_gives_up_after_bounded_tries(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with EmbeddedPostgres(data_dir, restarts=2) as server:
        watch = asyncio.create_task(server.watch())
        await asyncio.sleep(0)
        monkeypatch.setitem(server._settings, "shared_buffers", "nonsense")
        assert server.server_pid
        os.kill(server.server_pid, signal.SIGKILL)
        with pytest.raises(StoreUnavailable, match="nonsense"):
            await asyncio.wait_for(watch, 20)


async def test_a_killed_owner_leaves_no_orphan_and_loses_nothing(data_dir: Path) -> None:
    owner, url, pid, owned = await own(data_dir)
    assert owned
    await query(url, "INSERT INTO fact VALUES (10)")
    owner.kill()
    await owner.wait()
    # At once, while the watcher is still stopping the abandoned server.
    async with EmbeddedPostgres(data_dir) as server:
        assert server.owned and server.server_pid != pid and not alive(pid)
        assert len(await query(server.url, "SELECT * FROM fact WHERE id IN (1, 10)")) == 2
    owner, _, pid, _ = await own(data_dir)
    owner.kill()
    await owner.wait()
    assert await gone(pid)


async def test_both_killed_and_the_pid_reused_by_another_process(data_dir: Path) -> None:
    owner, url, pid, _ = await own(data_dir)
    await query(url, "INSERT INTO fact VALUES (20)")
    os.kill(pid, signal.SIGKILL)
    owner.kill()
    await owner.wait()
    stale = data_dir / "postgres" / "postmaster.pid"
    lines = stale.read_text().splitlines()
    user = stale.stat().st_uid if os.geteuid() == 0 else None
    bystander = await asyncio.create_subprocess_exec("sleep", "30", user=user)
    stale.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
    async with EmbeddedPostgres(data_dir) as server:
        assert len(await query(server.url, "SELECT * FROM fact WHERE id IN (1, 20)")) == 2
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_a_second_process_shares_the_server_and_takes_over(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as server:
        guest, url, pid, owned = await own(data_dir)
        assert (url, pid, owned) == (server.url, server.server_pid, False)
        guest.terminate()
        await guest.wait()
        assert await query(server.url, "SELECT 1")
    owner, url, pid, _ = await own(data_dir)
    async with EmbeddedPostgres(data_dir) as guest_server:
        assert not guest_server.owned
        watch = asyncio.create_task(guest_server.watch())
        owner.kill()
        await owner.wait()
        assert await gone(pid)
        await query_when_back(url, "SELECT 1")
        assert guest_server.owned and guest_server.url == url
        watch.cancel()


async def test_a_server_that_is_not_ours_is_refused_and_left_alone(data_dir: Path) -> None:
    ours = EmbeddedPostgres(data_dir)
    await ours.start()
    await ours.stop()
    unmarked = ours._cluster.serve_command(ours._port, {"unix_socket_directories": ""})[:-2]
    stranger = await ours._cluster.spawn(*unmarked, stdin=subprocess.DEVNULL)
    try:
        await until(lambda: (running := ours._cluster.postmaster()) and running.ready)
        with pytest.raises(OurFault, match=f"did not start.*{stranger.pid}"):
            await ours.start()
        assert stranger.returncode is None
    finally:
        stranger.send_signal(signal.SIGINT)
        await stranger.wait()


async def test_what_cannot_be_served_says_why(folder: Path, data_dir: Path) -> None:
    kept = (data_dir / "password").rename(folder / "kept")
    with pytest.raises(OurFault, match=r"password file .*password"):
        await EmbeddedPostgres(data_dir).start()
    kept.rename(data_dir / "password")
    version = data_dir / "postgres" / "PG_VERSION"
    version.write_text("12\n")
    with pytest.raises(OurFault, match="made by PostgreSQL 12"):
        await EmbeddedPostgres(data_dir).start()
    version.write_text(postgres_install.MAJOR + "\n")
    (folder / "plain").touch()
    with pytest.raises(OurFault, match="plain"):
        await EmbeddedPostgres(folder / "plain").start()


async def test_an_interrupted_first_start_is_begun_anew(folder: Path) -> None:
    half = folder / "half"
    (half / "postgres.draft" / "base").mkdir(parents=True)
    (half / "password.draft").write_text("half")
    async with EmbeddedPostgres(half) as server:
        assert (await query(server.url, "SELECT 1"))[0][0] == 1
    assert not (half / "postgres.draft").exists() and not (half / "password.draft").exists()


def test_the_default_data_directory() -> None:
    assert cluster.default_data_dir({"SOTTO_DATA_DIR": "/srv/sotto"}) == Path("/srv/sotto")
    expected = "/var/lib/sotto" if os.geteuid() == 0 else "/home/desk/xdg/sotto"
    assert cluster.default_data_dir({"XDG_DATA_HOME": "/home/desk/xdg"}) == Path(expected)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run as somebody else")


@as_root
def test_as_root_a_directory_its_user_cannot_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(OurFault, match="cannot be entered"):
        asyncio.run(EmbeddedPostgres(tmp_path / "data").start())


@as_root
async def test_as_root_unreachable_binaries_are_copied(
    folder: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    real = postgres_install.wheel_install()
    for name in (postgres_install.MODULE, postgres_install.LIBRARIES):
        (closed / name).symlink_to(real.parent.parent / name)
    monkeypatch.setattr(
        postgres_install, "wheel_install", lambda: closed / postgres_install.MODULE / postgres_install.INSTALL
    )
    async with EmbeddedPostgres(data_dir) as server:
        assert server.server_pid
        assert os.readlink(f"/proc/{server.server_pid}/exe").startswith(str(data_dir / "binaries"))
    assert (data_dir / "binaries").stat().st_uid == 0


@as_root
async def test_as_an_ordinary_user(folder: Path) -> None:
    user = postgres_install.server_user(folder / "absent", "nobody")
    assert user
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [path for path in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}")
             if postgres_install.permits(user, path, "-c", "")]  # fmt: skip
    if not found:
        pytest.skip(f"{user.name} can reach no {version}")
    home = folder / "nobody"
    home.mkdir()
    os.chown(home, user.uid, user.gid)
    paths = os.pathsep.join([str(ROOT), *(path for path in sys.path if "site-packages" in path)])
    env = {"PYTHONPATH": paths, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    owner, url, pid, owned = await own(home / "data", found[0], env=env, **user.spawn)
    assert owned and os.stat(f"/proc/{pid}").st_uid == user.uid == (home / "data").stat().st_uid
    assert (home / "data").stat().st_mode & 0o777 == 0o700
    await query(url, "CREATE TABLE fact (id int)")
    owner.kill()
    await owner.wait()
    assert await gone(pid)
