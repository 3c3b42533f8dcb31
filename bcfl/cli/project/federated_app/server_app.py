"""The server: a plain Flower app, but for the strategy; what it did is kept for the audit."""

from pathlib import Path

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from bcfl import PeerConsensus
from bcfl.experiment import KeptRun
from federated_app import task

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    config = context.run_config
    run_dir = Path(str(config["run-dir"])).absolute()
    x, y = task.load_data(1000)  # of a partition that no node has

    def measure(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = task.evaluate(arrays.to_numpy_ndarrays(), x, y)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    kept = KeptRun(run_dir, measure, "points about four centres")
    strategy = PeerConsensus(
        gamma=float(config["gamma"]), run_dir=run_dir, on_round=kept.on_round, fraction_evaluate=0.0
    )
    result = strategy.start(
        grid,
        ArrayRecord(task.initial_arrays()),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=kept.evaluate,
    )
    kept.finish(strategy, result.arrays)
