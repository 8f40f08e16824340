"""The page to copy for production: what it prints is installed, started behind nginx with TLS, and given a new secret."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from support.docs import ROOT, titled
from support.fresh import clone, terminal, typed
from support.leaks import leaks
from support.served import Browser, Served, free_port

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]  # downloads, and a build

PAGE = "docs/how-to/production.md"
HOST = "shop.example.com"
SERVERS = {"gunicorn": signal.SIGTERM, "waitress": signal.SIGINT}


class Machine:
    """A server's folders below another root, with ports that are free."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {old: str(free_port()) for old in ("8000", "443", "80")}
        for folder in ("srv", "etc/ssl/shop", "var/lib/shop", "run"):
            (root / folder).mkdir(parents=True)
        self.shop = root / "srv/shop"

    def printed(self, title: str) -> str:
        """Return a block of the page as it is on this machine."""
        text = re.sub(r"(?<![\w.])/(?=(?:srv|etc|var)/)", f"{self.root}/", titled(PAGE, title))
        for old, new in self.ports.items():
            text = re.sub(rf"(?<=[: ]){old}\b", new, text)
        return text

    @property
    def env(self) -> Path:
        return self.root / "etc/shop.env"

    def file(self, server: str) -> str:
        """Return the unit's text, with the lines for waitress in place of gunicorn's."""
        text = self.printed("shop.service")
        if server == "waitress":
            text = re.sub(r"^ExecStart=.*\n", self.printed("waitress"), text, flags=re.MULTILINE)
        return text

    def unit(self, server: str) -> configparser.SectionProxy:
        """Return the service that it names."""
        parser = configparser.RawConfigParser()
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(self.file(server))
        return parser["Service"]

    def service(self, server: str) -> Served:
        """Start what the unit names, with what the unit gives it."""
        unit = self.unit(server)
        end = unit.get("KillSignal", "SIGTERM")
        lines = ["unset PYTHONPATH SESSION_SECRET", "set -a", f". {unit['EnvironmentFile']}", "set +a"]
        lines += [f"cd {unit['WorkingDirectory']}", f"exec {unit['ExecStart']}"]
        port = int(self.ports["8000"])
        command = ["bash", "-e", "-c", "\n".join(lines)]
        return Served(command, self.root / "run", port, end=signal.Signals[end], ready="/favicon.ico")

    def nginx(self, folder: Path) -> Served:
        """Start nginx with the page's site, and only what one that is not root needs around it."""
        folder.mkdir(exist_ok=True)
        (folder / "site").write_text(self.printed("nginx"))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}include {folder}/site;\n}}\n"
        )
        command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
        return Served(command, folder, int(self.ports["80"]), end=signal.SIGQUIT, ready="/")


class Shown(NamedTuple):
    """An answer over https."""

    text: str
    set_cookie: str | None
    hsts: str | None


class Visitor:
    """A browser that comes over https, and trusts this site's certificate alone."""

    def __init__(self, machine: Machine) -> None:
        self.port = int(machine.ports["443"])
        self.context = ssl.create_default_context(cafile=str(machine.root / "etc/ssl/shop/fullchain.pem"))
        self.context.check_hostname = False  # it is asked for by its address
        self.cookie = ""

    def get(self) -> Shown:
        connection = HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=30)
        connection.request("GET", "/", headers={"Host": HOST, "Cookie": self.cookie})
        answer = connection.getresponse()
        set_cookie = answer.headers["Set-Cookie"]
        if set_cookie is not None:
            self.cookie = set_cookie.partition(";")[0]
        text = answer.read().decode()
        connection.close()
        return Shown(text, set_cookie, answer.headers["Strict-Transport-Security"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made in the folder of an application as the page says."""
    above = tmp_path_factory.mktemp("above")
    clone(above / "wsgisession")
    (above / "shop").mkdir()
    typed(f"python3 -m venv .venv && . .venv/bin/activate\n{titled(PAGE, 'wheel')}", above / "shop")
    [path] = (above / "shop").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Machine:
    """A machine on which the page's lines were typed, with both servers. The user is made by nobody."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.shop.mkdir()
    shutil.copy(wheel, machine.shop)
    (machine.shop / "app.py").write_text(titled(PAGE, "app.py"))
    lines = machine.printed("install").splitlines()
    assert lines.pop() == "adduser --system --group shop"
    typed("\n".join(lines) + " waitress", machine.root)
    subject = ["-subj", f"/CN={HOST}", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    place = machine.root / "etc/ssl/shop"
    files = ["-keyout", f"{place}/privkey.pem", "-out", f"{place}/fullchain.pem"]
    subprocess.run(["openssl", "req", "-x509", *subject, *files], check=True, capture_output=True)
    return machine


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """The same, with a secret of its own and without sessions."""
    typed(installed.printed("secret"), installed.root)
    leaks.secrets.update(secrets_of(installed))
    yield installed
    for file in (installed.root / "var/lib/shop").iterdir():
        file.unlink()


def secrets_of(machine: Machine) -> list[str]:
    [line] = [line for line in machine.env.read_text().splitlines() if line.startswith("SESSION_SECRETS=")]
    return line.partition("=")[2].strip('"').split()


def with_secrets(machine: Machine, value: str) -> None:
    """Write the page's value into the file of the environment."""
    text = re.sub(r"^SESSION_SECRETS=.*$", f"SESSION_SECRETS={value}", machine.env.read_text(), flags=re.M)
    machine.env.write_text(text)


@pytest.mark.parametrize("server", SERVERS)
def test_behind_nginx_with_tls(machine: Machine, server: str) -> None:
    """A visitor over http is sent to https, gets a Secure __Host- cookie there, and is counted; a restart keeps that."""
    with machine.nginx(machine.root / "run/nginx") as nginx:
        visitor = Visitor(machine)
        with machine.service(server) as service:
            with Browser(int(machine.ports["80"])).open("/tea?a=1") as answer:
                assert answer.status == 301 and answer.headers["Location"].startswith("https://")
                assert answer.headers["Location"].endswith("/tea?a=1")
            first = visitor.get()
            assert first.text == "Number of views 1" and first.hsts == "max-age=31536000"
            assert first.set_cookie is not None and first.set_cookie.startswith("__Host-sid=")
            assert "; Secure" in first.set_cookie
            assert visitor.get().text == "Number of views 2"
        assert service.tracebacks == 0 and "misconfiguration" not in service.log
        with machine.service(server):
            assert visitor.get().text == "Number of views 3"
    assert "[emerg]" not in nginx.log and "[warn]" not in nginx.log


def test_the_secret_is_for_root_alone(machine: Machine) -> None:
    """The file that has it cannot be read by anybody else, and has the store too."""
    assert machine.env.stat().st_mode & 0o777 == 0o600
    assert len(secrets_of(machine)) == 1 and "SESSION_STORE=sqlite:////" in machine.env.read_text()


def test_a_new_secret_logs_nobody_out(machine: Machine) -> None:
    """Through the three steps of the page a visitor is counted on; only who missed the second step begins again."""
    steps = re.findall(
        r'^\| \d \| `SESSION_SECRETS="?([A-Z ]+?)"?`', (ROOT / PAGE).read_text(encoding="utf-8"), re.MULTILINE
    )
    [old] = secrets_of(machine)
    new = "the new one, which has no blanks, or more than 32 bytes".replace(" ", "_")
    visitors, late = Visitor(machine), Visitor(machine)
    with machine.nginx(machine.root / "run/nginx"):
        with machine.service("gunicorn"):
            assert visitors.get().text == late.get().text == "Number of views 1"
        assert steps == ["OLD NEW", "NEW OLD", "NEW"]
        for number, step in enumerate(steps, 2):
            with_secrets(machine, f'"{step.replace("OLD", old).replace("NEW", new)}"')
            with machine.service("gunicorn"):
                assert visitors.get().text == f"Number of views {number}"
                if step == "NEW":
                    assert late.get().text == "Number of views 1"


def test_check_has_no_findings(machine: Machine) -> None:
    """What the page prints at the end says so."""
    command = ["bash", "-e", "-c", machine.printed("check")]
    with machine.service("gunicorn"):  # makes the file
        pass
    done = subprocess.run(
        command, cwd=machine.root, env=terminal(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "no findings"


@pytest.mark.parametrize("server", SERVERS)
def test_systemd_takes_the_unit(machine: Machine, server: str) -> None:
    """systemd's own check has nothing to say; if there is no systemd, each line is one of a unit's."""
    unit = machine.root / f"run/{server}.service"
    unit.write_text(machine.file(server).replace("User=shop", "User=root"))
    assert machine.unit(server).get("KillSignal", "SIGTERM") == SERVERS[server].name
    verify = shutil.which("systemd-analyze")
    if verify is not None:
        done = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, timeout=60)
        ours = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
        assert ours == []


def test_the_dockerfile(machine: Machine, wheel: Path, tmp_path: Path) -> None:
    """Each line is an instruction; what it copies is there, what it runs installs, and its command serves."""
    instructions = [line.split(" ", 1) for line in titled(PAGE, "Dockerfile").splitlines()]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "CMD"}
    assert {name for name, _ in instructions} == known
    shutil.copy(wheel, tmp_path)
    shutil.copy(machine.shop / "app.py", tmp_path)
    arguments: dict[str, list[str]] = {}
    for name, rest in instructions:
        arguments.setdefault(name, []).append(rest)
    [copied] = arguments["COPY"]
    *sources, target = copied.split()
    assert target == "./" and all(list(tmp_path.glob(source)) for source in sources)
    useradd, pip = arguments["RUN"]
    assert useradd.startswith("useradd ") and useradd.endswith(arguments["USER"][0])
    assert arguments["VOLUME"][0] in useradd
    typed(f"python3 -m venv .venv && . .venv/bin/activate\n{pip}", tmp_path)
    typed(f". .venv/bin/activate\n{titled(PAGE, 'docker secret')}", tmp_path)
    environ = (tmp_path / "shop.env").read_text().replace("/data/", f"{tmp_path}/")
    leaks.secrets.add(environ.splitlines()[0].partition("=")[2])
    (tmp_path / "shop.env").write_text(environ)
    port = free_port()
    command = " ".join(json.loads(arguments["CMD"][0])).replace("0.0.0.0:8000", f"127.0.0.1:{port}")
    script = f"unset PYTHONPATH\nset -a\n. ./shop.env\n. .venv/bin/activate\nexec {command}"
    served = Served(["bash", "-e", "-c", script], tmp_path, port, end=signal.SIGTERM, ready="/favicon.ico")
    with served:
        assert Browser(port).get("/") == "Number of views 1"
    assert arguments["EXPOSE"] == ["8000"] and ":8000" in titled(PAGE, "docker")
