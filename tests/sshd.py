"""A real sshd on loopback for the present user, and terminals that are logged in over it."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from .terminal import SECONDS, Terminal, until

PROGRAM = str(Path(sys.executable).with_name("tokenhud"))
PRIVILEGE_SEPARATION = Path("/run/sshd")  # built into Debian's sshd, which needs it as root alone


class UnavailableError(Exception):
    """No sshd can run here, or nobody can log in; says why."""


class Sshd:
    """Keys and settings lie in `folder`; every session gets `env`."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._port = _free_port()
        self._seen: set[psutil.Process] = set()
        sshd, ssh, keygen = _tool("sshd"), _tool("ssh"), _tool("ssh-keygen")
        for key in ("host", "user"):
            path = str(folder / key)
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        self._client = [ssh, "-p", str(self._port), "-i", str(folder / "user"), *_client_options()]
        config = folder / "sshd_config"
        config.write_text("\n".join(self._settings(env)), encoding="utf-8")
        line = [sshd, "-f", str(config)]
        if (checked := subprocess.run([*line, "-t"], capture_output=True, text=True)).returncode:
            raise UnavailableError(f"sshd: {checked.stderr.strip()}")
        self._log = folder / "sshd.log"
        self._process = subprocess.Popen(
            [*line, "-D", "-E", str(self._log)], stdin=subprocess.DEVNULL
        )

    def wait(self) -> None:
        """Until somebody can log in. Raises UnavailableError where nobody can."""
        until(lambda: self._process.poll() is not None or "listening" in self._told(), self._told)
        if (tried := self.run("true")).returncode:
            raise UnavailableError(f"no login over ssh: {tried.stderr.strip()} {self._told()}")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """`command` in a session without a terminal."""
        line = [*self._client, "127.0.0.1", shlex.join(command)]
        return subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
        )

    @contextmanager
    def login(self, *command: str) -> Iterator[Terminal]:
        """`command` in a session with a terminal."""
        line = [*self._client, "-tt", "127.0.0.1", shlex.join(command)]
        terminal = Terminal(line, 80, 40)
        try:
            yield terminal
        finally:
            terminal.kill()

    def running(self) -> list[psutil.Process]:
        """All processes of all sessions, each session's own sshd among them."""
        found = psutil.Process(self._process.pid).children(recursive=True)
        self._seen.update(found)
        return found

    def sever(self) -> None:
        """Ends all connections without a word to either side."""
        for each in self.running():
            with suppress(psutil.NoSuchProcess):  # one may have ended with another
                if each.name().startswith("sshd"):
                    each.kill()

    def close(self) -> None:
        """Ends sshd and whatever was ever seen running in its sessions."""
        with suppress(psutil.NoSuchProcess):
            self.running()
        for each in self._seen:
            with suppress(psutil.NoSuchProcess):  # told from a later one of its number
                each.kill()
        self._process.kill()
        self._process.wait()

    def _told(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def _settings(self, env: dict[str, str]) -> list[str]:
        return [
            f"ListenAddress 127.0.0.1:{self._port}",
            f'HostKey "{self._folder / "host"}"',
            f'AuthorizedKeysFile "{self._folder / "user.pub"}"',
            f"AllowUsers {getpass.getuser()}",
            "AuthenticationMethods publickey",
            "PermitRootLogin prohibit-password",
            "StrictModes no",  # the folder for temporary files is anyone's
            "UsePAM no",
            "PidFile none",
            "PrintMotd no",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in env.items()),
        ]


@contextmanager
def sshd(folder: Path, env: dict[str, str]) -> Iterator[Sshd]:
    """Raises UnavailableError, with the reason, where there can be none."""
    made = os.geteuid() == 0 and not PRIVILEGE_SEPARATION.exists()
    if made:
        with suppress(OSError):  # sshd says what is missing
            PRIVILEGE_SEPARATION.mkdir(mode=0o755)
    try:
        server = Sshd(folder, env)
        try:
            server.wait()
            yield server
        finally:
            server.close()
    finally:
        if made:
            with suppress(OSError):
                PRIVILEGE_SEPARATION.rmdir()


def ended(processes: Iterable[psutil.Process]) -> bool:
    """Whether all are gone; one that waits for its parent to notice is."""
    return not any(map(_runs, processes))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _client_options() -> list[str]:
    """No setting, key, agent or known host of the person's own."""
    said = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "no",
        "LogLevel": "ERROR",
        "EscapeChar": "none",
    }
    options = [f"-o{name}={value}" for name, value in said.items()]
    return ["-F", "/dev/null", *options]


def _tool(name: str) -> str:
    """The path of a program; a person's PATH often lacks that of servers."""
    found = shutil.which(
        name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin"
    )
    if found is None:
        raise UnavailableError(f"{name} is not installed")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
