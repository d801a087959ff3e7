"""Pictures of what was found: the Pareto front, the fit, and the tree of the chosen equation.

Every function draws on the given matplotlib axes, or on new ones, and returns them. matplotlib is an optional
dependency (``pip install rsrm[plot]``) that loads with the first picture.
"""

import numpy as np

from rsrm.evaluate import values
from rsrm.export import infix, to_latex, to_networkx

INK, ACCENT, SOFT = "#1f2937", "#c2410c", "#64748b"
"""Colours of lines and text, of what was chosen, and of everything else."""
LOSS_FLOOR = 1e-16
"""Losses are drawn on a logarithmic axis: an exact law stands at the rounding of float64."""
FULL_COMPLEXITY = 30
"""Equations with more nodes are named by their number of nodes instead of being written out."""


def _axes(ax, size=(6.4, 4.2)):
    """Return `ax`, or new axes of `size` inches."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install rsrm[plot]") from error
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(SOFT)
    ax.tick_params(colors=INK)
    return ax


def formula(expression, name: str = "y", digits: int = 4) -> str:
    """Return ``name = equation`` as text that matplotlib draws, mathematical where it can."""
    from matplotlib.mathtext import MathTextParser

    if expression.complexity > FULL_COMPLEXITY:
        return f"{name} = an equation of {expression.complexity} nodes"
    left = name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")
    text = rf"${left} = {to_latex(expression, digits)}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:  # LaTeX beyond matplotlib's own subset
        return f"{name} = {infix(expression, digits)}".replace("$", r"\$")
    return text


def plot_front(estimator, ax=None, target="y"):
    """Draw loss against complexity of the Pareto front, with the chosen equation written beside its point.

    Parameters
    ----------
    estimator : RSRM
        Fitted.
    ax : matplotlib.axes.Axes, optional
    target : str
        Name of what the equation explains.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    ax = _axes(ax)
    table = estimator.equations_
    complexity = table["complexity"].to_numpy()
    loss = np.maximum(table["loss"].to_numpy(float), LOSS_FLOOR)
    chosen = int(np.flatnonzero(table.index == estimator.get_best().name)[0])
    ax.step(complexity, loss, where="post", color=SOFT, linewidth=1.2, zorder=1)
    ax.scatter(complexity, loss, s=26, color="white", edgecolors=INK, linewidths=1.2, zorder=2)
    ax.scatter(complexity[chosen], loss[chosen], s=70, color=ACCENT, zorder=3)
    ax.set_yscale("log")
    # Room for the text: it grows from its point to the side that has more of the picture.
    span = max(int(np.ptp(complexity)), 4)
    ax.set_xlim(complexity.min() - 0.08 * span, complexity.max() + 0.08 * span)
    low, high = np.log10(loss.min()), np.log10(loss.max())
    pad = max(high - low, 2.0)
    ax.set_ylim(10 ** (low - 0.12 * pad), 10 ** (high + 0.16 * pad))
    left_half = complexity[chosen] - complexity.min() < 0.5 * np.ptp(complexity)
    upper_half = np.log10(loss[chosen]) > 0.5 * (low + high)
    ax.annotate(formula(estimator.expression_, target), (complexity[chosen], loss[chosen]), color=ACCENT, fontsize=12,
                xytext=(10 if left_half else -10, 12 if not upper_half or left_half else -12),
                textcoords="offset points", ha="left" if left_half else "right",
                va="bottom" if not upper_half or left_half else "top")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("complexity (nodes)", color=INK)
    ax.set_ylabel("loss (RMSE / standard deviation of y)", color=INK)
    ax.grid(axis="y", color=SOFT, alpha=0.15)
    ax.set_title("Pareto front", loc="left", color=INK)
    return ax


def plot_fit(estimator, X, y, ax=None, target="y"):
    """Draw the data and the chosen equation: as a curve for one feature, else predictions against data.

    Parameters
    ----------
    estimator : RSRM
        Fitted.
    X : array_like or DataFrame, shape (R, D)
    y : array_like, shape (R,)
    ax : matplotlib.axes.Axes, optional
    target : str
        Name of what the equation explains.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    """
    ax = _axes(ax)
    y = np.asarray(y, float).ravel()
    columns = np.asarray(X, float)
    nrmse = float(np.sqrt(np.mean((estimator.predict(X) - y) ** 2)) / (np.std(y) or 1.0))
    if columns.shape[1] == 1:
        x = columns[:, 0]
        if x.min() > 0 and x.max() > 30 * x.min():
            ax.set_xscale("log")
            line = np.geomspace(x.min(), x.max(), 500)
            if y.min() > 0 and y.max() > 30 * y.min():
                ax.set_yscale("log")
        else:
            line = np.linspace(x.min(), x.max(), 500)
        ax.plot(line, values(estimator.expression_, line[:, None])[0], color=ACCENT, linewidth=1.8,
                label=formula(estimator.expression_, target))
        ax.scatter(x, y, s=22, color="white", edgecolors=INK, linewidths=1.1, zorder=3, label="data")
        ax.set_xlabel(estimator.library_.variable_names[0], color=INK)
        ax.set_ylabel(target, color=INK)
        ax.legend(frameon=False)
    else:
        ends = [y.min(), y.max()]
        ax.plot(ends, ends, color=ACCENT, linewidth=1.4, zorder=1, label=formula(estimator.expression_, target))
        ax.scatter(y, estimator.predict(X), s=18, color="white", edgecolors=INK, linewidths=1.0, zorder=2)
        ax.set_xlabel("data", color=INK)
        ax.set_ylabel("equation", color=INK)
        ax.legend(frameon=False, handlelength=0, loc="upper left")
    ax.set_title(f"Fit (loss {nrmse:.2g})", loc="left", color=INK)
    return ax


def plot_tree(estimator, index=None, ax=None):
    """Draw the tree of the chosen equation, or of row `index` of ``equations_``.

    Parameters
    ----------
    estimator : RSRM or Expression
        A fitted estimator, or an expression itself.
    index : int, optional
        Row of ``equations_``; ignored for an Expression.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError
        If there is no such row.
    """
    expression = estimator
    if hasattr(estimator, "expression_"):
        column = estimator.equations_["lambda_format"]
        expression = estimator.expression_ if index is None else column.iloc[index].expression
    tree = to_networkx(expression)
    place = _layout(tree)
    width = max(x for x, _ in place.values())
    deep = -min(y for _, y in place.values())
    ax = _axes(ax, (max(3.0, 1.0 + 0.95 * width), max(2.2, 1.2 + 0.8 * deep)))
    for a, b in tree.edges:
        (xa, ya), (xb, yb) = place[a], place[b]
        ax.plot([xa, xb], [ya, yb], color=SOFT, linewidth=1.2, zorder=1)
    arity = expression.library.tables.arity
    for node, data in tree.nodes(data=True):
        inner = arity[data["token"]] > 0
        label = {"add": "+", "sub": "−", "mul": "×", "div": "÷"}.get(data["label"], data["label"])
        ax.text(*place[node], label, ha="center", va="center", color="white" if inner else INK, zorder=2,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": INK if inner else "#fde7d6",
                      "edgecolor": INK if inner else ACCENT})
    ax.set_axis_off()
    ax.set_xlim(-0.7, width + 0.7)
    ax.set_ylim(-deep - 0.5, 0.5)
    return ax


def _layout(tree):
    """Return the place of every node: leaves side by side from left to right, parents above the middle of theirs."""
    place, next_leaf = {}, 0
    depth = {0: 0}
    for a, b in tree.edges:  # prefix order: parents come before children
        depth[b] = depth[a] + 1
    for node in sorted(tree.nodes, reverse=True):  # children come after their parents, so they are placed before them
        children = list(tree.successors(node))
        if children:
            x = sum(place[c][0] for c in children) / len(children)
        else:
            x, next_leaf = float(next_leaf), next_leaf + 1
        place[node] = (x, -float(depth[node]))
    # Scanned from the right, leaves were numbered from the right.
    return {node: (next_leaf - 1 - x, y) for node, (x, y) in place.items()}
