"""The server: a plain Flower app, but for the strategy, which is told where the chain is."""

from __future__ import annotations

from pathlib import Path

import task
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from bcfl import PeerConsensus
from bcfl.chain import RpcChain
from bcfl.experiment import KeptRun

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds; the key file's password is in the environment."""
    config = context.run_config
    run_dir = Path(str(config["run-dir"]))
    stake_wei = int(config["stake-wei"])
    nodes = int(config["num-nodes"])
    x, y = task.load_data(nodes)  # of a partition that no node has

    def measure(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = task.evaluate(arrays.to_numpy_ndarrays(), x, y)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    kept = KeptRun(run_dir, measure, "points about four centres")
    strategy = PeerConsensus(
        gamma=0.5,
        transactions=str(config["transactions"]),
        membership="open" if stake_wei else "allow_list",
        stake_wei=stake_wei,
        chain=RpcChain(str(config["rpc-url"]), Path(str(config["key-file"]))),
        run_dir=run_dir,
        commit_window_s=300,
        ballot_window_s=300,
        max_attempts=1,
        fraction_evaluate=0.0,
        min_available_nodes=nodes,
        on_round=kept.on_round,
    )
    result = strategy.start(
        grid,
        ArrayRecord(task.initial_arrays()),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=kept.evaluate,
    )
    kept.finish(strategy, result.arrays)
