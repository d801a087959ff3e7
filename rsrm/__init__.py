"""RSRM: the Reinforcement Symbolic Regression Machine finds the equation behind data."""

from pathlib import Path

__version__ = "0.1.0"

_PUBLIC = {
    "RSRM": "rsrm.estimator",
    "Expression": "rsrm.expression",
    "Library": "rsrm.library",
    "StopReason": "rsrm.search",
    "parse": "rsrm.export",
}
__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604 - keys of the table above

# Inside the repository root the folder `rsrm` shadows an installed package, and `envs` and `agents` stand beside it:
# with the root on the search path of this package, `rsrm.envs` and `rsrm.agents` resolve there too.
_root = Path(__file__).resolve().parent.parent
if (_root / "setup.cfg").is_file() and (_root / "envs" / "__init__.py").is_file():
    __path__.append(str(_root))


def __getattr__(name: str):
    # `import rsrm` stays light: numba, scikit-learn and sympy load with the first use of a public name.
    if name in _PUBLIC:
        from importlib import import_module

        from rsrm._collector import young_only

        with young_only():
            return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'rsrm' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_PUBLIC])
