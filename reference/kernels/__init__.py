"""Optional speed, for those who time or replace kernels: nothing here changes a result.

    fused          public forms beside their plain ones    baseline_solvers  fast baselines in NumPy
    triton_clip, triton_reconstruction, triton_baseline    kernels, behind `fused`

Each is held against its plain form by a test and against the machine by `benchmarks/`; what does
not earn its place goes. Imports the method's files, and Triton only when a fused form is called.
"""

from reference.kernels.fused import (
    asymmetric_least_squares_fused,
    clip_loss_auto,
    clip_loss_chunked,
    clip_loss_fused,
    reconstruction_loss_fused,
)

__all__ = ["asymmetric_least_squares_fused", "clip_loss_auto", "clip_loss_chunked",
           "clip_loss_fused", "reconstruction_loss_fused"]
