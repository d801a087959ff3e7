"""Pictures of an episode with matplotlib."""

import numpy as np
from gymnasium.error import DependencyNotInstalled

try:
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise DependencyNotInstalled("pictures need matplotlib: pip install 'rsrm[plot]'") from error

DRAWN = 1e300
"""Matplotlib's scales overflow beyond."""


class Canvas:
    """A figure that is drawn over and over, in memory or in a window.

    Parameters
    ----------
    human : bool
        Whether to show a window instead of returning pictures; without an interactive backend nothing is shown.
    fps : float
        Pictures a second in the window.
    """

    def __init__(self, human: bool, fps: float):
        self._human = human
        self._window = human and plt.get_backend().lower() in {
            b.lower() for b in plt.matplotlib.backends.backend_registry.list_builtin(
                plt.matplotlib.backends.BackendFilter.INTERACTIVE)}
        self._pause = 1.0 / fps
        if self._window:
            self._figure = plt.figure(figsize=(6, 4), dpi=100)
        else:
            self._figure = Figure(figsize=(6, 4), dpi=100)
            FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_subplot()

    def draw(self, title: str, x, y, name: str, values=None, error: float = 0.0):
        """Draw data and an expression's values where it has any; return uint8[height, width, 3].

        Nothing is returned if it is for humans.

        Parameters
        ----------
        title : str
        x, y : float64[R]
        name : str
            Of what x holds.
        values : float64[R], optional
        error : float
            NRMSE of the values.
        """
        axes = self._axes
        axes.clear()
        x, y = np.clip(x, -DRAWN, DRAWN), np.clip(y, -DRAWN, DRAWN)
        values = None if values is None else np.clip(values, -DRAWN, DRAWN)
        order = np.argsort(x, kind="stable")
        axes.plot(x[order], y[order], "o", color="0.6", markersize=4, label="data")
        if values is not None:
            axes.plot(x[order], values[order], "x", color="C3", markersize=5, label=f"NRMSE {error:.3g}")
        axes.legend(loc="upper left", frameon=False)
        axes.set_xlabel(name)
        lines = [line if len(line) <= 64 else line[:61] + "..." for line in title.split("\n")]
        axes.set_title("\n".join(lines), fontsize=10, parse_math=False)
        if self._window:
            plt.pause(self._pause)
            return None
        self._figure.canvas.draw()
        if self._human:
            return None
        return np.asarray(self._figure.canvas.buffer_rgba())[..., :3].copy()

    def close(self):
        """Close the window, if there is one."""
        if self._window:
            plt.close(self._figure)
