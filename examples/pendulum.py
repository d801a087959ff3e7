"""A pendulum with a stop-watch: the law of its period, and g with its uncertainty.

Forty readings as a careful student takes them: threads from 0.2 to 2 m, amplitudes from 5 to 50 degrees, twenty swings
timed by hand. The readings are simulated from the exact period (through the arithmetic-geometric mean; small-angle
formulas are approximations) at g = 9.81 m/s^2, with errors of 2 mm, half a degree and 0.1 s, then treated as unknown.

    python examples/pendulum.py [--out FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import agm

from rsrm import RSRM

TRUE_G = 9.81
SWINGS = 20


def readings(rng) -> pd.DataFrame:
    """Return thread length L in m, amplitude A in rad and period T in s as they are read off."""
    length, amplitude = rng.uniform(0.2, 2.0, 40), np.radians(rng.uniform(5, 50, 40))
    period = 2 * np.pi * np.sqrt(length / TRUE_G) / agm(1, np.cos(amplitude / 2))
    return pd.DataFrame({
        "L": length + 0.002 * rng.normal(size=40),
        "A": amplitude + np.radians(0.5) * rng.normal(size=40),
        "T": period + 0.1 / SWINGS * rng.normal(size=40),
    })


def small_angle(model, L: float, A: float = 1e-3) -> float:
    """Return the g that a found law implies at length L: T = 2 pi sqrt(L/g) where the amplitude vanishes."""
    period = model.predict(pd.DataFrame({"L": [L], "A": [A]}))[0]
    return float(4 * np.pi**2 * L / period**2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture")
    parser.add_argument("--time", type=float, default=20.0, help="seconds of search")
    arguments = parser.parse_args()

    data = readings(np.random.default_rng(1))
    model = RSRM(operators=("add", "mul", "div", "sqrt", "square", "cos"), max_time=arguments.time, random_state=0,
                 verbose=1)
    model.fit(data[["L", "A"]], data["T"])
    print("What the readings allow, from simple to exact:\n")
    print(model.equations_[["complexity", "loss", "equation"]].to_string(index=False))
    print(f"\nThe law:  T = {model.sympy()}")

    # The form is found; its constants are fitted again to resampled readings, and their scatter is the uncertainty.
    rng = np.random.default_rng(2)
    g = np.array([small_angle(refitted(model, data.sample(len(data), replace=True, random_state=rng)), 1.0)
                  for _ in range(200)])
    print(f"g = {small_angle(model, 1.0):.3f} +- {g.std():.3f} m/s^2   (set to {TRUE_G} in the simulation)")
    draw(model, data, g, arguments.out / "pendulum.png")
    print(f"Picture:  {arguments.out / 'pendulum.png'}")


class Refitted:
    """The law of a model with constants fitted to other data."""

    def __init__(self, expression):
        self.expression = expression

    def predict(self, X):
        from rsrm.evaluate import values

        return values(self.expression, np.asarray(X))[0]


def refitted(model, sample) -> Refitted:
    """Return the model's law with its constants fitted to `sample`."""
    from rsrm.constants import fit

    X = np.ascontiguousarray(sample[["L", "A"]].to_numpy().T)
    return Refitted(fit(model.expression_, X, sample["T"].to_numpy())[0])


def draw(model, data, g, path):
    """Draw the period against length and amplitude, and what the resamples say about g."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from rsrm.plotting import ACCENT, INK, SOFT, formula

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", width_ratios=(3, 2))
    L = np.linspace(0.15, 2.05, 300)
    for degrees, style in ((5, "-"), (30, "--"), (50, ":")):
        T = model.predict(pd.DataFrame({"L": L, "A": np.radians(degrees)}))
        left.plot(L, T, style, color=ACCENT, linewidth=1.5, label=f"law at {degrees}°")
    dots = left.scatter(data["L"], data["T"], c=np.degrees(data["A"]), cmap="Greys", vmin=0, vmax=60, s=34,
                        edgecolors=INK, linewidths=0.8, zorder=3, label="readings")
    figure.colorbar(dots, ax=left, label="amplitude (degrees)", pad=0.01)
    left.set(xlabel="length L (m)", ylabel="period T (s)")
    left.set_title(formula(model.expression_, "T", 4), loc="left", color=INK, fontsize=14)
    left.legend(frameon=False, loc="lower right")
    right.hist(g, bins=25, color=SOFT, alpha=0.7)
    right.axvline(TRUE_G, color=ACCENT, linewidth=1.6)
    right.annotate("set in the simulation", (TRUE_G, 0.97), xycoords=("data", "axes fraction"), xytext=(5, 0),
                   textcoords="offset points", color=ACCENT, va="top", fontsize=9)
    right.set(xlabel="g (m/s²)", yticks=[])
    right.set_title(f"g = {small_angle(model, 1.0):.3f} ± {g.std():.3f} m/s²", loc="left", color=INK)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
