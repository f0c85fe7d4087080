"""The order of the rooms: imports run one way, and the core needs nothing but torch and numpy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ergodual
from ergodual.errors import lacking

SOURCE = Path(ergodual.__file__).parent
FLOORS = [
    {"errors", "tensors", "files", "fetching", "released", "products", "autocast", "memory"},
    {"operators", "functions"},
    {"instance", "problem", "checks", "consistency"},
    {"primal_dual", "solving"},
    {"bilevel"},
    {"speech", "images"},
    {"experiments"},
    {"app"},
    {"cli"},
]
"""From the ground up; design and docs/extending.md say the same."""
ENTRIES = {"__init__", "__main__"}
"""Doors, which may open on any floor."""
EXTRAS = (
    *("soundfile", "scipy", "pystoi", "pooch", "safetensors", "tyro", "rich", "matplotlib"),
    *("PIL", "skimage"),
)


def floor_of(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def imports() -> dict[str, set[str]]:
    """Of every module of the package, the modules of the package that it imports anywhere."""
    modules = {
        ".".join(["ergodual", *path.relative_to(SOURCE).with_suffix("").parts]): path
        for path in SOURCE.rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            named = []
            if isinstance(node, ast.ImportFrom) and node.module:
                named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            found[name] |= {one for one in named if one in modules or f"{one}.__init__" in modules}
    return found


def test_imports_run_downwards() -> None:
    for module, used in imports().items():
        room = module.split(".")[1]
        if room in ENTRIES:
            continue
        for other in used - {"ergodual"}:
            assert floor_of(other.split(".")[1]) <= floor_of(room), f"{module} imports {other}"


def test_there_is_no_circle() -> None:
    known = {name.removesuffix(".__init__"): used for name, used in imports().items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done or module == "ergodual":
            return
        for other in known.get(module, set()):
            # a package is loaded before its modules; they do not use it
            if not module.startswith(f"{other}."):
                visit(other, (*path, module))
        done.add(module)

    for module in known:
        visit(module, ())


def test_the_core_needs_torch_and_numpy_alone() -> None:
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in EXTRAS)
    code = (
        f"import sys; {blocked}; import torch, ergodual as ed; m = ed.Unrolled(ed.Problem(ed.L1(), "
        "ed.Box(radius=0.1), ed.Dense.dct(8)), 2); m(torch.zeros(1, 8)).sum().backward(); assert "
        "not any(name.startswith('ergodual.speech') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("module", "command", "said"),
    [
        ("tyro", "--help", "the command line needs tyro; run pip install 'ergodual[cli]'."),
        ("soundfile", "train --corpus {} --out {}/run", "this command needs soundfile; run pip "),
        ("soundfile", "dequantize {}/a.wav {}/b.wav", "this command needs soundfile; run pip "),
        ("pooch", "data ieee --to {}/ieee", "this command needs pooch; run pip install 'ergodual["),
        ("gradio", "app", "this command needs gradio; run pip install 'ergodual[app]'."),
        ("matplotlib", "demo --out {}/demo", "this command needs matplotlib; run pip install "),
    ],
)
def test_what_an_extra_is_missing_for_is_said(
    module: str, command: str, said: str, tmp_path: Path
) -> None:
    given = ["ergodual", *command.replace("{}", str(tmp_path)).split()]
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv = {given}; "
        "from ergodual.__main__ import run; run()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"ergodual: {said}")
    assert ran.stderr.count("\n") == 1


def test_what_images_are_missing_is_said() -> None:
    code = "import sys; sys.modules['PIL'] = None; import ergodual.images"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stderr.splitlines()[-1].endswith("needs PIL; run pip install 'ergodual[images]'.")


def test_what_no_extra_brings_is_an_error_of_ours() -> None:
    with pytest.raises(ModuleNotFoundError):
        lacking("this command", ModuleNotFoundError(name="ergodual.nowhere"))
