"""The command line: ``rsrm data.csv --target y`` prints the Pareto front and the law that a table holds."""

import argparse
import sys
from pathlib import Path

from rsrm.primitives import BY_NAME, DEFAULT_OPERATORS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rsrm", description="Find the equation behind the columns of a CSV file with a header line.")
    parser.add_argument("data", type=Path, help="CSV file")
    parser.add_argument("--target", help="column to explain (default: the last one)")
    parser.add_argument("--features", help="columns it may depend on, separated by commas (default: all others)")
    parser.add_argument("--time", type=float, default=60.0, metavar="S",
                        help="seconds of search (default: %(default)g)")
    parser.add_argument("--operators", default=",".join(DEFAULT_OPERATORS), metavar="LIST",
                        help=f"separated by commas, of: {' '.join(BY_NAME)} (default: %(default)s)")
    parser.add_argument("--no-constants", action="store_true", help="fit no numbers")
    parser.add_argument("--seed", type=int, help="same seed, same equations")
    parser.add_argument("--out", type=Path, metavar="FILE", help="save the model, for RSRM.load")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _read(path: Path, target: str | None, features: str | None):
    """Return the table of features and the column to explain.

    Raises
    ------
    ValueError
        If the file cannot be read as a table, or a column is missing or holds no numbers.
    """
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"data: there is no file {path}")
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"data: {path} is no CSV table: {error}") from error
    target = table.columns[-1] if target is None else target
    names = [c for c in table.columns if c != target] if features is None else [f.strip() for f in features.split(",")]
    for option, name in [("target", target), *(("features", n) for n in names)]:
        if name not in table.columns:
            known = ", ".join(map(str, table.columns))
            raise ValueError(f"{option}: there is no column {name!r}; the file has {known}")
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(f"{option}: column {name!r} holds values that are no numbers, "
                             f"e.g. {table[name].dropna().iloc[0]!r}; choose others with --features")
    if target in names:
        raise ValueError(f"features: {target!r} is the target")
    if not names:
        raise ValueError(f"data: besides the target {target!r} the file has no column")
    complete = table[[*names, target]].dropna()
    if len(complete) < len(table):
        print(f"{len(table) - len(complete)} of {len(table)} rows are incomplete and left out", file=sys.stderr)
    return complete[names], complete[target]


def main(argv=None) -> int:
    """Run the command line on `argv`; return 0, or 2 after an error that the user can mend."""
    arguments = _parser().parse_args(argv)
    try:
        X, y = _read(arguments.data, arguments.target, arguments.features)
        from rsrm.estimator import RSRM

        model = RSRM(operators=tuple(n.strip() for n in arguments.operators.split(",") if n.strip()),
                     constants=not arguments.no_constants, max_time=arguments.time, random_state=arguments.seed,
                     verbose=0 if arguments.quiet else 1)
        if arguments.out is not None and not arguments.out.resolve().parent.is_dir():
            raise ValueError(f"out: there is no folder {arguments.out.resolve().parent}")
        model.fit(X, y)
    except ValueError as error:
        print(f"rsrm: {error}", file=sys.stderr)
        return 2
    print(report(model, str(y.name)))
    if arguments.out is not None:
        model.save(arguments.out)
        print(f"saved to {arguments.out}")
    return 0


def report(model, target: str = "y") -> str:
    """Return the Pareto front and the chosen law of a fitted estimator as text."""
    table = model.equations_
    best = model.get_best()
    lines = [f"  {'nodes':>5}  {'loss':>9}  equation"]
    for k, row in table.iterrows():
        mark = ">" if k == best.name else " "
        lines.append(f"{mark} {row['complexity']:>5}  {row['loss']:>9.3g}  {row['equation']}")
    lines += ["", f"{target} = {best['equation']}",
              f"{model.n_evaluations_:,} expressions scored; {model.stop_reason_.value}"]
    return "\n".join(lines)
