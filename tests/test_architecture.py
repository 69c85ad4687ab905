"""Rules about the source itself: who may import whom, size, and what is never used."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A package imports itself and those to its right.
PACKAGES = ("viz", "scenarios", "solvers", "twin")
ADAPTER = "solvers/dolfinx_compat.py"
LONGEST = 400
FENICS = {"dolfinx", "ufl", "basix", "ffcx"}
# Modules that run or load code from data.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def sources():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def names(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def imports(tree, module=()):
    """Yield (line, dotted name) of every import, relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module[: len(module) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*package, *filter(None, [node.module])])


def dotted(node):
    """Return a.b.c for an attribute chain on a name, else an empty text."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def problems(path, text):
    """Return what is wrong with one source file, each with its line."""
    name = path if isinstance(path, str) else path.relative_to(ROOT).as_posix()
    package = name.split("/")[0]
    may_import = PACKAGES[PACKAGES.index(package) :]
    tree = ast.parse(text)
    found = []
    for line, module in imports(tree, tuple(name.removesuffix(".py").split("/")[:-1])):
        top = module.split(".")[0]
        if top in PACKAGES and top not in may_import:
            found.append(f"{name}:{line}: {package} may not import {module}")
        if top in FENICS and package != "solvers":
            found.append(f"{name}:{line}: only solvers may import {module}")
        if top in FORBIDDEN_MODULES:
            found.append(f"{name}:{line}: {module} can run code from data")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in FORBIDDEN_CALLS:
                found.append(f"{name}:{node.lineno}: {called}() runs code from data")
            if called in {"torch.load", "np.load", "numpy.load"}:
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if called == "torch.load":
                    safe = given.get("weights_only") == "True"
                else:
                    safe = given.get("allow_pickle", "False") == "False"
                if not safe:
                    found.append(f"{name}:{node.lineno}: {called}() may unpickle")
        if name != ADAPTER and dotted(node) == "dolfinx.__version__":
            found.append(f"{name}:{node.lineno}: only {ADAPTER} asks for dolfinx's version")
    lines = text.count("\n")
    if lines > LONGEST:
        found.append(f"{name}: {lines} lines, more than {LONGEST}")
    if Path(name).name == "utils.py":
        found.append(f"{name}: a name that says nothing")
    return found


@pytest.mark.parametrize("path", sources(), ids=names(sources()))
def test_source_keeps_the_rules(path):
    assert problems(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("twin/a.py", "import solvers", "twin may not import solvers"),
        ("solvers/a.py", "def f():\n    from scenarios.study import Study", "solvers:2"),
        ("twin/meshing/a.py", "from ...viz import b", "may not import viz"),
        ("scenarios/a.py", "from dolfinx import fem", "only solvers may import dolfinx"),
        ("solvers/a.py", "import dolfinx\nif dolfinx.__version__ > '0.7': pass", "version"),
        ("twin/a.py", "import pickle", "can run code"),
        ("twin/a.py", "eval('1')", "runs code"),
        ("twin/a.py", "import torch\ntorch.load('x')", "may unpickle"),
        ("twin/a.py", "import numpy as np\nnp.load('x', allow_pickle=True)", "may unpickle"),
        ("twin/a.py", "\n" * 401, "more than 400"),
        ("twin/utils.py", "", "says nothing"),
    ],
)
def test_rules_catch_a_breach(name, text, complaint):
    complaint = complaint.replace("solvers:2", "solvers/a.py:2")
    assert any(complaint in problem for problem in problems(name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("viz/a.py", "import twin, solvers, scenarios"),
        ("solvers/a.py", "import dolfinx\nimport twin"),
        ("solvers/dolfinx_compat.py", "import dolfinx\nprint(dolfinx.__version__)"),
        ("twin/a.py", "import numpy as np\nnp.load('x')\nnp.load('x', allow_pickle=False)"),
        ("twin/a.py", "import torch\ntorch.load('x', weights_only=True)\nmodel.eval()"),
    ],
)
def test_rules_let_good_code_pass(name, text):
    assert problems(name, text) == []
