"""The house: imports run one way, the runtime is the standard library, every module says what it does not know."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import wsgisession

PACKAGE = Path(wsgisession.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# What the adapter of a framework imports, and nothing else may.
ADAPTERS = {
    "django": {"django", "asgiref"},
    "flask": {"flask", "markupsafe", "werkzeug"},
    "pyramid": {"pyramid", "zope"},
}
CLIENTS = {"redis", "psycopg", "psycopg_pool", "pytest"}  # imported only inside the functions that need them

# Each imports only from those before it. The stores are one floor: they may share rooms among themselves.
ORDER = (
    "errors log memo depth advice tags values mac cookie identity headers merge fingerprints record stores.base stores.* stores"
    " codec jsoncodec info limits draft records turns commit diagnosis shared request_cookies phase visit views hints session manager"
    " watch middleware javascript express"
    " testing.helpers testing.samples testing.steps testing.contract testing.bulk testing __init__ exchange testclient flask pyramid"
    " cli cli.text cli.terminal cli.target cli.reader cli.outcome cli.syntax cli.secret cli.listing cli.ending"
    " cli.totals cli.copying cli.check __main__"
    " django.configuration django.engine django.apps django"
).split()


def floor(name: str) -> int:
    return ORDER.index("stores.*" if name.startswith("stores.") and name != "stores.base" else name)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


tree = cache(parsed)


@pytest.fixture(scope="module", autouse=True)
def trees() -> Iterator[None]:
    """Each module is parsed once, and its tree is let go: the collector would look through all of them."""
    yield
    tree.cache_clear()


def imports(path: Path, *, top: bool) -> set[str]:
    """Return the absolute names a module imports; ``top``: only those at its top level."""
    parent = ["wsgisession", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[str] = set()
    for node in tree(path).body if top else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(parent[: len(parent) - node.level + 1]) if node.level else ""
            found.add(".".join(filter(None, (start, node.module))))
    return found


def test_imports_run_one_way() -> None:
    """No module imports one that comes after it."""
    backwards = []
    for path in MODULES:
        own = name_of(path)
        for name in imports(path, top=True):
            other = name.removeprefix("wsgisession.")
            stores = other.startswith("stores.") and own.startswith("stores.")
            if other != name and not stores and floor(other) >= floor(own):
                backwards.append(f"{own} imports {other}")
    assert backwards == []


def test_the_runtime_is_the_standard_library() -> None:
    """Client libraries are imported only where they are needed; the contract of stores is for pytest."""
    foreign = []
    for path in MODULES:
        part = name_of(path).split(".")[0]
        own = sys.stdlib_module_names | {"wsgisession"} | ADAPTERS.get(part, set())
        top = imports(path, top=True) - ({"pytest"} if part == "testing" else set())
        foreign += [f"{path}: {name}" for name in top if name.split(".")[0] not in own]
        inside = imports(path, top=False)
        foreign += [f"{path}: {name}" for name in inside if name.split(".")[0] not in own | CLIENTS]
    assert foreign == []


def test_every_module_says_what_it_does_not_know() -> None:
    """In its docstring."""
    silent = [
        path for path in MODULES if not re.search(r"\b[Kk]nows?\b", ast.get_docstring(tree(path)) or "")
    ]
    assert silent == []


def test_each_argument_has_a_line_of_its_own() -> None:
    """If a docstring describes an argument, the description begins its line: the site's pages make a list of them."""
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            functions = [each for each in ast.walk(node) if isinstance(each, ast.FunctionDef)]
            names = {
                argument.arg for each in functions for argument in (*each.args.args, *each.args.kwonlyargs)
            }
            docstring = ast.get_docstring(node) or ""
            described = docstring.partition("Args:\n")[2].partition("\n\n")[0]
            hidden = {name for name in names if re.search(rf"\S.*\b{name}: ", described)}
            assert hidden == set(), f"{path}: {node.name}"
            assert not re.search(r"\b(Args|Returns|Raises): *\S", docstring), f"{path}: {node.name}"


def test_only_the_middleware_knows_environ() -> None:
    """No other module but the adapters subscripts one or names it as a variable."""
    for path in MODULES:
        names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
        assert ("environ" in names) is (
            name_of(path) in {"middleware", "watch", "exchange", "flask", "pyramid"}
        ), path


def private_names(tree: ast.AST) -> tuple[set[str], list[ast.Attribute]]:
    """Return the underscored names that a module defines, and every use of one as an attribute."""
    own: set[str] = set()
    uses: list[ast.Attribute] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
        elif isinstance(node, ast.Assign):
            own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            own.add(node.value)  # a slot
        elif isinstance(node, ast.Attribute):
            if (
                isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("self", "cls")
            ):
                own.add(node.attr)
            if re.match(r"_[^_]", node.attr):
                uses.append(node)
    return own, uses


def called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    function = node.func
    return str(getattr(function, "attr", getattr(function, "id", "")))


# What the standard library calls so and means to be used.
PUBLIC = {"_asdict", "_exit", "_getframe", "_replace", "_value_"}


def test_no_object_reaches_into_another() -> None:
    """Each underscored attribute is used in the module that defines it, and nowhere else; a base class's too.

    So no class is spread over files by inheritance.
    """
    foreign = []
    for path in MODULES:
        own, uses = private_names(tree(path))
        foreign += [
            f"{path}:{use.lineno}: {ast.unparse(use)}" for use in uses if use.attr not in own | PUBLIC
        ]
    assert foreign == []


# It breaks the core on purpose, to show that the explorer notices.
BREAKERS = {"mutations.py"}
# Private names of the package in tests: each forces a fault, or sees one, that nothing else can.
DOORS = {
    "_before_fork": "a fork that comes while another fork is prepared",
    "_configure": "psycopg's own: what a pool does with a new connection",
    "_connect": "an exception loses a connection that was just opened",
    "_dues": "the invariants of a memory store",
    "_evict": "a record is written between the look for one to give up and the end of that one",
    "_grace": "a child waits for less than seconds",
    "_keep": "another thread takes a connection at the moment when it arrives",
    "_make_dumps": "a Python without the json module's own encoder",
    "_ping": "a server is asked in time and answers too late",
    "_pool": "see _connect",
    "_prepare": "the file is replaced, or cannot be written, while a connection is opened",
    "_ready": "an exception comes while an answer is read",
    "_run": "what a server says that nobody has here",
    "_shards": "the invariants of a memory store",
    "_Shelf": "see _connect",
    "_sweep": "another program writes between a write and its sweep",
    "_timeout": "a store gets less time once it has a connection",
    "_totals": "the invariants of a memory store",
    "_transactions": "see _timeout",
    "_transport": "another command comes between two of the same operation",
}


@pytest.mark.wide
def test_tests_use_few_private_names() -> None:
    """Of the package's: those listed above, and each of them is used."""
    private = {name for path in MODULES for name in private_names(tree(path))[0] if re.match(r"_[^_]", name)}
    used: set[str] = set()
    for path in Path(__file__).parent.rglob("*.py"):
        if path.name in BREAKERS or path == Path(__file__):
            continue
        module = parsed(path)
        own, uses = private_names(module)
        names = {use.attr for use in uses} - own
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wsgisession"):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Call) and called(node).endswith("setattr"):
                names |= {
                    str(part.value).rpartition(".")[2] for part in node.args if isinstance(part, ast.Constant)
                }
        used |= names & private - PUBLIC
    assert used == set(DOORS)


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest cannot collect two modules of one name in one run, so the wide tests would not begin."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
