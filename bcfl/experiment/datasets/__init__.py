"""Data sets, a module each, whose ``load_…`` returns :class:`Images`.

Each is named by ``_target_`` in its YAML under ``conf/dataset/``, and imported, with the
libraries that it needs, only where it is used. To add one: one such module and its YAML.

==============  ===========================================================================
``digits``      scikit-learn's bundled scans, the default
``downloaded``  MNIST and CIFAR-10, through torchvision
``mnist_test``  MNIST's 10,000 test images, from a folder
==============  ===========================================================================
"""

from bcfl.experiment.datasets.images import Images

__all__ = ["Images"]
