"""Many models as one (arXiv 1807.02515, fig. 4).

================  =================================================================
``fusion``        strategies I and II
``layers``        the fusion network h = φ(A·f_c), y = softmax(B·h)
``descent``       training it
``settings``      how long, how fast, from which seed
``fused_model``   the models and the network on top of them
``fused_arrays``  a fused model in a file, or in Flower's records
================  =================================================================
"""
