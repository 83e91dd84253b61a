"""The method of Turgut et al. 2025, a file a part, in the order of the paper.

    preprocessing, baseline, resampling        raw records -> what the networks see
    augmentation, views, masking               training views and masks, noise passed in
    transformer, encoders                      ViT for ECG, ResNet for CMR, heads
    masked_modelling, contrastive_loss         stages 1 and 2
    loop, training, presets                    one loop, three stages, named configurations
    evaluation, retrieval, probes, localisation    what was learnt, and where
    checkpoints, atomic                        weights on disk; files that a crash leaves whole

Wings: cohort/ (data on disk), kernels/ (optional speed), conformance/ (for porters), experiment/
(the arms as files). The method imports torch, NumPy and the cohort's constants.
"""
