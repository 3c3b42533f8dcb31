"""The marketplace as an experiment.

=====================  ============================================================
``market_simulation``  ``bcfl run strategy=model_fusion``
``reproduction``       figs. 5 and 6 of arXiv 1807.02515, as numbers
``figures``            and drawn
``example_data``       what ``bcfl market data`` writes
=====================  ============================================================
"""
