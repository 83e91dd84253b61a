"""Faults in the residual network, in optimiser steps and schedules, and in whole views."""

from __future__ import annotations

from tests.fault import Fault

RESNET = (
    Fault("eps of another library", "batch_norm", "eps 1e-3, not 1e-5",
          "encoders.BasicBlock.__init__", "self.bn1 = nn.BatchNorm2d(width)",
          "self.bn1 = nn.BatchNorm2d(width, eps=1e-3)", "out/y"),
    Fault("biased running variance", "batch_norm", "the running variance takes the biased one",
          "adapter_resnet.batch_norm",
          'return directed(case, block, given, lambda: block.bn1(given["x"]))',
          'found = directed(case, block, given, lambda: block.bn1(given["x"]))\n'
          '    variance = given["x"].detach().transpose(0, 1).flatten(1).var(1).numpy()\n'
          '    if case.config["training"]:\n'
          '        found["out/bn1.running_var"] -= 0.1 * variance / given["x"][:, 0].numel()\n'
          '    return found', "out/bn1.running_var"),
    Fault("ReLU before the sum", "basic_block", "the shortcut is added after the last ReLU",
          "encoders.BasicBlock.forward", "F.relu(y + (", "(F.relu(y) + (", "out/y"),
    Fault("no ReLU between", "basic_block", "ReLU between the convolutions is left out",
          "encoders.BasicBlock.forward", "F.relu(self.bn1(self.conv1(x)))",
          "self.bn1(self.conv1(x))", "mid/conv2"),
    Fault("stride on the first convolution", "bottleneck", "stride on the 1 x 1, not on the 3 x 3",
          "encoders.Bottleneck.__init__",
          "1, bias=False)\n    self.bn1 = nn.BatchNorm2d(width)\n"
          "    self.conv2 = nn.Conv2d(width, width, 3, stride,",
          "1, stride, bias=False)\n    self.bn1 = nn.BatchNorm2d(width)\n"
          "    self.conv2 = nn.Conv2d(width, width, 3, 1,", "mid/conv1"),
    Fault("pooling padded at the far side", "cmr_stem", "pads rows and columns behind, not before",
          "encoders.CMREncoder.feature_map", "F.max_pool2d(x, 3, 2, 1)",
          "F.max_pool2d(F.pad(x, (0, 2, 0, 2)), 3, 2)[:, :, :(x.shape[2] + 1) // 2, "
          ":(x.shape[3] + 1) // 2]", "out/y"),
    Fault("average pooling in the stem", "cmr_stem", "mean, not maximum",
          "encoders.CMREncoder.feature_map", "F.max_pool2d(x, 3, 2, 1)",
          "F.avg_pool2d(x, 3, 2, 1)", "out/y"),
    Fault("maximum over cells", "cmr_encoder", "maximum, not mean of the last map",
          "encoders.CMREncoder.features", "mean(dim=(2, 3))", "amax(dim=(2, 3))", "out/y"),
)

STEPS = (
    Fault("L2 in the gradient", "mdm_steps", "Adam for AdamW in stage 1",
          "adapter_steps.mdm_steps", "torch.optim.AdamW(", "torch.optim.Adam(",
          "step/cls_token, step/losses"),
    Fault("usual betas", "mdm_steps", "second beta 0.999, not 0.95",
          "adapter_steps.mdm_steps", 'tuple(case.config["betas"])', "(0.9, 0.999)", "step/losses"),
    Fault("one mask for all", "mdm_steps", "the mask of the first step in every step",
          "adapter_steps.mdm_steps", "model(x, noise[step],", "model(x, noise[0],", "step/losses"),
    Fault("decay decoupled", "mmcl_steps", "AdamW for Adam in stage 2",
          "adapter_steps.mmcl_steps", "torch.optim.Adam(", "torch.optim.AdamW(",
          "step/ecg.pos_embed"),
    Fault("one rate for both", "mmcl_steps", "the ECG encoder learns as fast as the rest",
          "adapter_steps.mmcl_steps", 'config["ecg_lr_scale"] if', "1.0 if",
          "step/ecg.pos_embed, step/losses"),
    Fault("no layer-wise decay", "fine_tuning_steps", "every layer learns at the full rate",
          "adapter_steps.fine_tuning_steps", 'config["layer_decay"], config', "1.0, config",
          "step/pos_embed, step/losses"),
    Fault("rate of the next step", "mdm_steps", "the schedule is read one step late",
          "loop.fit", "step / per_epoch", "(step + 1) / per_epoch",
          "step/cls_token, step/losses"),
    Fault("gradients pile up", "mdm_steps", "gradients are not cleared", "loop.fit",
          "optimiser.zero_grad(set_to_none=True)", "None", "step/losses"),
)

VIEWS = (
    Fault("every record augmented", "ecg_view", "the rate of the view is left out",
          "augmentation.ecg_view_from", "torch.where(below(noise.apply, view.rate), y, x)", "y",
          "out/x"),
    Fault("surrogate always", "ecg_view", "the rate of the surrogate is left out",
          "augmentation.ecg_view_from", "below(noise.surrogate, view.surrogate_rate)",
          "below(noise.surrogate, 2.0)", "out/x"),
    Fault("leads flipped", "ecg_view", "leads in place of time", "augmentation.ecg_view_from",
          "y.flip(-1)", "y.flip(-2)", "out/x"),
    Fault("ends repeated", "resample", "the signal goes on as a constant beyond its ends",
          "records.resample", 'mode="reflect", reflect_type="odd"', 'mode="edge"', "out/ecg"),
    Fault("count rounded up", "resample", "ceil(T to / rate) samples", "records.resample",
          "x.shape[-1] * ratio.numerator // ratio.denominator",
          "-(-x.shape[-1] * ratio.numerator // ratio.denominator)", "out/ecg"),
    Fault("positions bilinear", "position_interpolation", "bilinear, not bicubic",
          "transformer.interpolate_position_embedding", 'mode="bicubic"', 'mode="bilinear"',
          "out/y"),
    Fault("position ends aligned", "position_interpolation", "end steps stay end steps",
          "transformer.interpolate_position_embedding", "align_corners=False",
          "align_corners=True", "out/y"),
)

FAULTS = (*RESNET, *STEPS, *VIEWS)
