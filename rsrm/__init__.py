"""RSRM: the Reinforcement Symbolic Regression Machine finds the equation behind data."""

from pathlib import Path

__version__ = "0.1.0"

# Inside the repository root the folder `rsrm` shadows an installed package, and `envs` and `agents` stand beside it:
# with the root on the search path of this package, `rsrm.envs` and `rsrm.agents` resolve there too.
_root = Path(__file__).resolve().parent.parent
if (_root / "setup.cfg").is_file() and (_root / "envs" / "__init__.py").is_file():
    __path__.append(str(_root))
