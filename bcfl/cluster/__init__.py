"""``make cluster``: every part in a process of its own, against a real node, on this host.

=============  ====================================================================
``cluster``    starts the parts, runs three rounds, audits them, stops the parts
``processes``  programs that are started, watched, and stopped with their children
``app/``       the Flower app: plain NumPy, with the two lines that make it a member
=============  ====================================================================
"""

from bcfl.cluster.cluster import ClusterSettings, run_cluster

__all__ = ["ClusterSettings", "run_cluster"]
