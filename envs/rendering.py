"""Pictures of an episode with matplotlib."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


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

    def draw(self, text: str, task, values, error: float):
        """Draw the data, the expression's values where it has any, and its text; return uint8[height, width, 3].

        Nothing is returned if it is for humans.
        """
        axes = self._axes
        axes.clear()
        order = np.argsort(task.X[0], kind="stable")
        horizontal = task.X[0][order]
        axes.plot(horizontal, task.y[order], "o", color="0.6", markersize=4, label="data")
        if values is not None:
            axes.plot(horizontal, values[order], "x", color="C3", markersize=5, label=f"NRMSE {error:.3g}")
        axes.legend(loc="upper left", frameon=False)
        axes.set_xlabel("x0")
        axes.set_title("y = " + (text if len(text) <= 60 else text[:57] + "..."), fontsize=10, parse_math=False)
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
