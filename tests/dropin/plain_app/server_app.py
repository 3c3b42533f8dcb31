"""plain_app: A Flower / scikit-learn app."""

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from plain_app.task import create_model, get_model_params

# Create ServerApp
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation and save the final model."""
    model = create_model()
    arrays = ArrayRecord(get_model_params(model))

    # Initialize strategy
    strategy = FedAvg(fraction_train=1.0, fraction_evaluate=1.0)

    # Start strategy, run for `num_rounds`
    result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=2)

    # Save final model parameters
    np.savez("final_model.npz", *result.arrays.to_numpy_ndarrays())
