"""The marketplace (PROTOCOL, System B): models, their fusion, and the programs of its roles.

=======================================  =============================================
``architectures``, ``build``,            a model: described, built, trained
``training``
``features``, ``fused_model``,           many models as one, by strategies I and II
``fusion``, ``fusion_layers``,
``fusion_settings``, ``fusion_training``
``verification_set``, ``fitness``,       what a verifier measures and reports
``originality``
``fused_arrays``                         a fused model in a file, or in Flower's records
``roles``                                initiator, contributor, verifier; ``bcfl market``
``simulation``                           ``bcfl run strategy=model_fusion``
``reproduction``, ``figures``            figs. 5 and 6 of the article
=======================================  =============================================
"""
