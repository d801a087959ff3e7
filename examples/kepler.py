"""Kepler's third law from the table of the planets.

Kepler worked on it from 1600 to 1618. The table below is what is published today: semi-major axis and sidereal orbit
period of the eight planets, from the NASA Planetary Fact Sheets (D. R. Williams, NSSDCA, Goddard Space Flight Center,
https://nssdc.gsfc.nasa.gov/planetary/factsheet/). In units of the Earth's orbit and year the law reads P = a**(3/2).

    python examples/kepler.py [--out FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from rsrm import RSRM

# planet, semi-major axis in 10^6 km, sidereal orbit period in days
PLANETS = (
    ("Mercury", 57.909, 87.969),
    ("Venus", 108.210, 224.701),
    ("Earth", 149.598, 365.256),
    ("Mars", 227.956, 686.980),
    ("Jupiter", 778.479, 4332.589),
    ("Saturn", 1432.041, 10759.22),
    ("Uranus", 2867.043, 30685.4),
    ("Neptune", 4514.953, 60189.0),
)


def table() -> pd.DataFrame:
    """Return the planets with distance `a` in astronomical units and period `P` in years."""
    planets = pd.DataFrame(PLANETS, columns=["planet", "a", "P"])
    earth = planets.loc[planets["planet"] == "Earth"].iloc[0]
    return planets.assign(a=planets["a"] / earth["a"], P=planets["P"] / earth["P"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture")
    parser.add_argument("--time", type=float, default=20.0, help="seconds of search")
    arguments = parser.parse_args()

    planets = table()
    # Published values are off by a share of themselves, so residuals count relative to the period.
    model = RSRM(max_time=arguments.time, random_state=0, verbose=1)
    model.fit(planets[["a"]], planets["P"], sample_weight=planets["P"] ** -2)

    print("What the data allow, from simple to exact:\n")
    print(model.equations_[["complexity", "loss", "equation"]].to_string(index=False))
    planets["law"] = model.predict(planets[["a"]])
    planets["off by"] = (planets["law"] / planets["P"] - 1).map("{:+.2%}".format)
    print("\n" + planets.round(4).to_string(index=False))
    print(f"\nThe law:  P = {model.sympy()}   ({model.stop_reason_.value})")
    draw(model, planets, arguments.out / "kepler.png")
    print(f"Picture:  {arguments.out / 'kepler.png'}")


def draw(model, planets, path):
    """Draw the law through the planets, and the front that it was chosen from."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from rsrm.plotting import ACCENT, INK, formula, plot_front

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    a = np.geomspace(0.25, 50, 300)
    left.loglog(a, model.predict(pd.DataFrame({"a": a})), color=ACCENT, linewidth=1.6, zorder=1)
    left.scatter(planets["a"], planets["P"], s=45, color="white", edgecolors=INK, linewidths=1.4, zorder=2)
    for row in planets.itertuples():
        left.annotate(row.planet, (row.a, row.P), xytext=(8, -10), textcoords="offset points", color=INK, fontsize=9)
    left.text(0.06, 0.88, formula(model.expression_, "P"), transform=left.transAxes, color=ACCENT, fontsize=17)
    left.set(xlabel="distance from the Sun a (astronomical units)", ylabel="period P (years)")
    left.set_title("Kepler's third law, found in the table of the planets", loc="left", color=INK)
    left.spines[["top", "right"]].set_visible(False)
    plot_front(model, right, "P")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
