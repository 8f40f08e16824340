"""What a user installs: the sdist and the wheel build, and the installed wheel needs only Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from support.docs import ROOT
from support.fresh import clone

pytestmark = pytest.mark.wide  # to build and to install takes seconds

SOURCES = {path.relative_to(ROOT).as_posix() for path in (ROOT / "wsgisession").rglob("*.py")}


def run(*command: str, cwd: Path) -> str:
    """Return what a command printed; where it fails, the test shows why."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel made from that sdist; the checkout is left as it is."""
    tmp_path = tmp_path_factory.mktemp("built")
    clone(tmp_path / "source")
    options = ("--no-isolation", "--outdir", str(tmp_path), str(tmp_path / "source"))
    run(sys.executable, "-m", "build", *options, cwd=tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel, which is for every platform."""
    (path,) = built.glob("*-py3-none-any.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target))
    run(sys.executable, "-m", "pip", "install", *options, str(wheel), cwd=target)
    return target


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def isolated(installed: Path, script: str) -> object:
    """Run a script outside the repository, without site-packages or environment; return what it prints as JSON."""
    prelude = f"import json, sys; sys.path.insert(0, {str(installed)!r})\n"
    return json.loads(run(sys.executable, "-I", "-S", "-c", prelude + script, cwd=installed.parent))


def test_the_sdist_is_enough_to_test_and_to_package(built: Path) -> None:
    """Sources, tests, demo, site, license and changelog are in it; what a build or a run leaves behind is not."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    texts = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
    site = {"mkdocs.yml", "docs/theme/hooks.py", "docs/stylesheets/extra.css", "docs/images/logo.svg"}
    assert names >= SOURCES | tests | texts | site | {"demo.py", "wsgisession/py.typed"}
    assert [name for name in names if re.search(r"__pycache__|\.pyc|\.db\b|node_modules", name)] == []


def test_the_wheel_is_the_package(wheel: Path) -> None:
    """Every module and the typed marker, and beside its metadata nothing else: no tests, no demo."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == SOURCES | {"wsgisession/py.typed"}


def test_it_requires_nothing(metadata: Message) -> None:
    """Whatever is named belongs to an extra."""
    required = metadata.get_all("Requires-Dist") or []
    assert required and [one for one in required if "extra ==" not in one] == []
    extras = {"redis", "postgres", "test", "dev", "bench", "docs"}
    assert set(metadata.get_all("Provides-Extra") or []) >= extras


def test_its_version(installed: Path, metadata: Message) -> None:
    """The package says the version that its metadata says, and the changelog begins with it."""
    newest = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    said = isolated(installed, "import wsgisession; print(json.dumps(wsgisession.__version__))")
    assert said == metadata["Version"] == newest


def test_its_metadata(metadata: Message) -> None:
    """The license, the oldest Python, and the README as the description."""
    assert metadata["License-Expression"] == "MIT" and metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def ran_on() -> dict[str, list[str]]:
    """What the page says the tests ran on; ``.ci/run`` fails if they did not."""
    page = (ROOT / "docs/reference/tested.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| (\d[\d., ]*) \|$", page, re.MULTILINE)
    return {name: versions.split(", ") for name, versions in rows}


def test_the_classifiers_name_what_is_tested(metadata: Message) -> None:
    """Every Python of the page, and no other."""
    named = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or [] if " :: 3." in line]
    assert named == ran_on()["CPython"]


@pytest.mark.parametrize(
    ("package", "extra", "name"),
    [("redis", "redis", "redis-py"), ("psycopg", "postgres", "psycopg"), ("psycopg-pool", "postgres", None)],
)
def test_the_least_version_of_a_client_is_tested(
    metadata: Message, package: str, extra: str, name: str | None
) -> None:
    """Each extra that has the client names the same one, which is the first of the page."""
    lines = metadata.get_all("Requires-Dist") or []
    found = [re.match(rf"{package}(?:\[[\w,]+\])?>=([\d.]+); extra == \"(\w+)\"", line) for line in lines]
    least = {match[2]: match[1] for match in found if match}
    assert {extra, "test"} <= least.keys() and len(set(least.values())) == 1

    def release(version: str) -> list[int]:
        return [*map(int, version.split(".")), 0, 0][:3]

    assert release(least[extra]) == release(ran_on()[name or package][0])


def test_the_installed_wheel_imports_the_standard_library_alone(installed: Path) -> None:
    """Every module of it, in an isolated interpreter; only ``testing`` needs pytest, and an adapter its framework."""
    modules = sorted(name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in SOURCES)
    others = tuple(f"wsgisession.{name}" for name in ("testing", "flask", "pyramid", "django"))
    modules = [name for name in modules if not name.startswith(others)]
    loaded = isolated(
        installed,
        f"""
import importlib
for name in {modules!r}:
    importlib.import_module(name)
roots = {{name.partition(".")[0] for name in sys.modules if not name.startswith("_sysconfigdata_")}}  # named by platform
names = sys.stdlib_module_names | {{"__main__", "_missing_stdlib_info"}}  # the last: 3.15's
print(json.dumps(sorted(roots - names)))
""",
    )
    assert loaded == ["wsgisession"]


def test_the_command_line_is_installed(installed: Path) -> None:
    """The console script ``wsgisession`` is there, and names a function that works without site-packages."""
    (info,) = installed.glob("*.dist-info")
    (script,) = Distribution.at(info).entry_points.select(group="console_scripts")
    assert (script.name, script.value) == ("wsgisession", "wsgisession.__main__:main")
    said = isolated(
        installed,
        f"""
import contextlib, io, importlib
with contextlib.redirect_stdout(io.StringIO()) as out:
    code = importlib.import_module({script.module!r}).{script.attr}(["secret"])
print(json.dumps([code, len(out.getvalue().strip()) >= 32]))
""",
    )
    assert said == [0, True]
