"""plain_app: the task, in scikit-learn."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

LOCAL_EPOCHS = 3


def load_data(partition_id: int, num_partitions: int):
    """Every num_partitions-th digit; the last fifth of them to validate with."""
    x, y = load_digits(return_X_y=True)
    x, y = x[partition_id::num_partitions] / 16.0, y[partition_id::num_partitions]
    split = len(x) * 4 // 5
    return x[:split], y[:split], x[split:], y[split:]


def create_model():
    """A model with parameters, so that it can be asked before it is fitted."""
    model = LogisticRegression(max_iter=LOCAL_EPOCHS, warm_start=True)
    model.classes_ = np.arange(10)
    model.coef_ = np.zeros((10, 64))
    model.intercept_ = np.zeros(10)
    return model


def get_model_params(model):
    """Coefficients and intercept, float64 as scikit-learn has them."""
    return [model.coef_, model.intercept_]


def set_model_params(model, params):
    """Overwrite them."""
    model.coef_, model.intercept_ = params
