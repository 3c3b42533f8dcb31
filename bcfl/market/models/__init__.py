"""A model of somebody's own choice.

=================  ================================================================
``architectures``  the networks that come with this package
``build``          a described network as a module of torch
``training``       training one on one's own data
``features``       what a network's last layer but one puts out
=================  ================================================================
"""
