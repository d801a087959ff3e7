"""A suite of random rate equations, each along one of its own trajectories.

The tests that look for laws no textbook holds (LSR-Synth of LLM-SRBench, Shojaee et al., 2025, arXiv 2504.10415, among
them) join terms that are common in a field to terms that are not, and give the rows of a simulation. The laws here are
drawn in that manner: a rate of growth, of a reaction or of an oscillator in its state and the time, or a stress over
strain and temperature. Rows along a curve are harder than scattered ones: functions of the state and of the time look
alike there.
"""

import numpy as np

from rsrm.benchmarks.sampling import integrate

ROWS = 1000
_TRIES = 5
"""Trajectories that are tried of a law before it is dropped."""
_SHARE = 0.03
"""Share of the spread of y that every term has to show along the rows."""
_LARGEST = 50.0
"""States beyond are taken for a blow-up."""

GROWTH = (("{a}*P", "{a}*P*(1 - P/{k})", "{a}*P*(1 - P/{k})*(P/{c} - 1)", "-{s}*P**2", "{a}*(1 - exp(-{b}*P))"),
          ("{a}*sin({w}*t)", "{a}*P*sin({w}*t)", "{a}*P*exp(-{b}*t)", "{a}*P/(1 + exp(-{b}*(P - {c})))",
           "{a}*P**2/(P**2 + {c})", "-{a}*sqrt(P)", "{a}*P**0.33", "{a}*exp(-{b}*t)", "-{a}*P*log(P + 1)",
           "{a}*cos({w}*log(P + 1))"))
REACTION = (("-{a}*A", "-{a}*A**2", "-{a}*A/(1 + {b}*A)", "-{a}*A*exp(-{b}*t)", "{s}*exp(-{b}*t)"),
            ("-{a}*sqrt(A)", "-{a}*A**2/({b}*A**2 + 1)", "{a}*sin({w}*sqrt(A))", "{a}*cos({w}*t)",
             "-{a}*A*log({w}*t + 1)", "-{a}*A*sin({w}*t)", "{a}*cos(log(A + 1))", "-{a}*tanh({b}*A)", "-{a}*A**1.5"))
OSCILLATOR = (("-{k}*x", "-{a}*v", "{a}*sin({w}*t)", "-{a}*x**3", "-{a}*(x**2 - 1)*v"),
              ("-{a}*v**3", "-{a}*v*abs(v)", "-{a}*x*exp(-abs(x))", "-{a}*sin({w}*x)", "-{a}*x*v", "{a}*exp(-x**2)",
               "-{a}*x**2*v", "-{a}*tanh({b}*v)", "-{a}*x*cos({w}*t)", "{a}*x**2", "-{a}*sqrt(abs(v))*v"))
STRESS = (("{E}*e*(1 - {g}*(T - 293))", "{E}*e*exp(-{g}*(T - 293))", "{E}*e**{n}", "{E}*e**{n}*exp(-{q}/T)", "{E}*e"),
          ("{a}*(T - 293)*e**2", "{a}*(T - 293)", "{E}*e**2", "{a}*(T - 293)*log(e + 1)", "{E}*exp(-{w}*e)",
           "{a}*(T - 293)*sin({w}*e)", "{E}*tanh({w}*e)", "{E}*cos({w}*e)"))
_FIELDS = (GROWTH, REACTION, OSCILLATOR, STRESS)
_SPREADS = {"a": (0.1, 1.0), "b": (0.2, 2.0), "c": (0.5, 2.0), "k": (1.0, 5.0), "s": (0.02, 0.3), "w": (0.5, 4.0),
            "E": (5.0, 200.0), "g": (1e-3, 5e-3), "n": (0.2, 0.8), "q": (200.0, 900.0)}


def _numbers(text: str, rng: np.random.Generator) -> str:
    """Return the term with numbers of three or four digits for its letters."""
    values = {name: f"{rng.uniform(*spread):.{rng.integers(3, 5)}g}" for name, spread in _SPREADS.items()}
    return text.format(**values)


def _terms(field, rng: np.random.Generator) -> list[str]:
    """Return one or two common terms and one or two others."""
    return [_numbers(text, rng) for pool in field
            for text in rng.choice(pool, int(rng.integers(1, 3)), replace=False)]


def rate_problem(name: str, evaluate, rng: np.random.Generator) -> tuple[dict, dict | None]:
    """Draw laws until every term of one shows along its rows.

    Parameters
    ----------
    name : str
    evaluate : callable
        ``evaluate(text, {name: float64[R]})`` returns the values of a law.
    rng : numpy.random.Generator

    Returns
    -------
    facts : dict
        An entry of ``problems``.
    system : dict or None
        The equations of its trajectory; None where the rows are scattered.
    """
    field = _FIELDS[rng.integers(len(_FIELDS))]
    while True:
        terms = _terms(field, rng)
        text = " + ".join(terms).replace("+ -", "- ")
        if field is STRESS:
            ranges = [[0.0, 0.6], [293.0, 800.0]]
            columns = {"e": rng.uniform(*ranges[0], ROWS), "T": rng.uniform(*ranges[1], ROWS)}
            if _all_show(terms, columns, evaluate):
                spec = {"n": ROWS, "sampling": "uniform", "ranges": ranges}
                return {"name": name, "variables": ["e", "T"], "expression": text, "train": spec, "test": spec}, None
            continue
        variables = ["x", "v"] if field is OSCILLATOR else ["P" if field is GROWTH else "A"]
        rhs = {"x": "v", "v": text} if field is OSCILLATOR else {variables[0]: text}
        for _ in range(_TRIES):
            low = -2.0 if field is OSCILLATOR else 0.2
            start = [float(f"{s:.3g}") for s in rng.uniform(low, 3.0, len(variables))]
            end = float(rng.choice((5, 10, 20)))
            states = _states(variables, rhs, start, end)
            if states is None or not (field is OSCILLATOR or np.all(states[:, 0] > 0.01)):
                continue
            if _all_show(terms, dict(zip([*variables, "t"], states[: ROWS].T, strict=True)), evaluate):
                system = {"variables": variables, "rhs": rhs, "initial_conditions": start}
                return {"name": name, "variables": [*variables, "t"], "expression": text, "system": name,
                        "train": {"n": ROWS, "sampling": "trajectory", "t_span": [0, end]},
                        "test": {"n": ROWS // 2, "sampling": "trajectory", "t_span": [end, 1.5 * end]}}, system


def _states(variables, rhs, start, end) -> np.ndarray | None:
    """Return the trajectory over training and test rows, or None if it leaves the usual range."""
    times = np.concatenate([np.linspace(0.0, end, ROWS), np.linspace(end, 1.5 * end, ROWS // 2)[1:]])
    try:
        states = integrate(variables, rhs, start, times)
    except (RuntimeError, ArithmeticError, ValueError, TypeError):  # TypeError: a root of a negative number
        return None
    fine = len(states) == len(times) and np.isfinite(states).all() and np.abs(states[:, :-1]).max() < _LARGEST
    return states if fine else None


def _all_show(terms: list[str], columns: dict, evaluate) -> bool:
    """Return whether the law is finite and no term is lost beside the others, or is one of them in disguise."""
    with np.errstate(all="ignore"):
        values = np.array([evaluate(text, columns) for text in terms])
    if not np.isfinite(values).all():
        return False
    spread = np.std(values.sum(axis=0))
    if not spread > 1e-2 * np.abs(values).max():
        return False
    for k in range(len(terms)):
        others = np.vstack([np.delete(values, k, axis=0), np.ones(values.shape[1])]).T
        left = values[k] - others @ np.linalg.lstsq(others, values[k])[0]
        if np.std(left) < _SHARE * spread:
            return False
    return True
