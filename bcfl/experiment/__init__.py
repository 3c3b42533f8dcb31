"""One experiment, from configuration to folder, for ``bcfl run``.

==================  ===============================================================
``run``             a run: what is configured, loaded, carried out and written down
``scenario``        what a run builds around a strategy, and hands to it
``configuration``   conf/ as typed values
``seeds``           one seed for a run, and from it one for each purpose
``mistakes``        an error in one line, and what was meant
``knobs``           what conf/ says of every knob, for ``bcfl run --help``
``hydra_entry``,    Hydra's and Flower's way in
``flower_app``
``job``             one of a sweep's, here or in a process of its own
``clients``         data, models, training, engines
``datasets``        a module for each data set
``attacks``         what malicious clients do
``market``          the marketplace as an experiment
``recorder``,       what is kept of a run, and where
``result``,
``run_folder``
``redaction``       what is not kept: secrets
``resume``          going on with a run that was cut off
``trust``           what a configuration of somebody else's may ask for
``sweep``           the summary of a sweep
``kept_run``        a Flower run of one's own, written down alike
``measure``         a run's models measured anew, for its audit
``terminal``        the table that grows
==================  ===============================================================

Public are the names that ``conf/`` calls by ``_target_``, and what one derives from to add
another; each is imported when it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
