"""The ``bcfl`` command.

===================  ==============================================================
``main``             ``bcfl run``, ``resume``, ``audit`` and what follows
``init``             ``bcfl init``: a project; ``bcfl runs``
``key``              ``bcfl key``: a key file, encrypted
``stake``            ``bcfl stake``: join, leave, withdraw
``settlement``       ``bcfl settlement``: challenge, convict, withdraw
``own_transaction``  how both send from a key file
``market``           ``bcfl market``: the roles as programs
``market_programs``  what those programs do
``market_status``    what a market shows of its tasks
``demo``             ``bcfl demo market``: all of them at once
``market_demo``      how that is played, and narrated
``narrator``         what a long command says meanwhile
``show``             ``bcfl report``, ``bcfl plot``
``plain_text``       for terminals without Unicode
``samples``          labelled samples from a file
===================  ==============================================================
"""
