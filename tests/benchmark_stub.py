"""An estimator with the interface that the benchmark runner needs: fits y = c * x0 + d, and misbehaves on demand."""

import os
import time

import numpy as np
import sympy as sp


class Stub:
    """Fits a straight line in x0; ``mood`` makes it crash, hang, raise or pretend to know a law."""

    def __init__(self, *, operators=None, constants=None, max_time=None, max_evals=None, random_state=None, n_jobs=None,
                 mood="good", formula=None, victim=None):
        self.mood, self.formula, self.victim = mood, formula, victim

    def fit(self, X, y):
        hit = self.victim is None or len(y) == self.victim
        if hit and self.mood == "crash":
            os._exit(3)
        if hit and self.mood == "hang":
            time.sleep(600)
        if hit and self.mood == "raise":
            raise ArithmeticError("no luck")
        slope, intercept = np.polyfit(X[:, 0], y, 1)
        self.equation = sp.Float(slope) * sp.Symbol("x0") + sp.Float(intercept)
        if self.formula is not None:
            self.equation = sp.sympify(self.formula)
        self.n_evaluations_, self.stop_reason_, self.time_to_best_ = 7, "solved", 0.25
        return self

    def sympy(self):
        return self.equation

    def predict(self, X):
        f = sp.lambdify([sp.Symbol(f"x{i}") for i in range(X.shape[1])], self.equation, "numpy")
        return np.broadcast_to(f(*X.T), len(X))
