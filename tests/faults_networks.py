"""Faults in the networks: patches, positions, transformer, heads, masked autoencoder."""

from __future__ import annotations

from tests.fault import Fault

PATCHES = (
    Fault("patches time by time", "patchify", "tokens column-major: time, then lead",
          "masked_modelling.patchify", "permute(0, 2, 4, 3, 5, 1)", "permute(0, 4, 2, 3, 5, 1)",
          "out/patches"),
    Fault("channel first in a patch", "patchify", "channels before samples in a patch",
          "masked_modelling.patchify", "permute(0, 2, 4, 3, 5, 1)", "permute(0, 2, 4, 1, 3, 5)",
          "out/patches"),
    Fault("patches read as channels", "unpatchify", "channels before samples in a patch",
          "masked_modelling.unpatchify", "patches.reshape(B, V // pv, T // pt, pv, pt, C)",
          "patches.reshape(B, V // pv, T // pt, C, pv, pt).permute(0, 1, 2, 4, 5, 3)", "out/x"),
    Fault("halves of the table swapped", "position_table", "lead index in the first half",
          "transformer.sincos_position_embedding", "[half(step), half(lead)]",
          "[half(lead), half(step)]", "out/table"),
    Fault("swapped grid", "position_table", "rows time-major",
          "transformer.sincos_position_embedding", "leads, steps = grid", "steps, leads = grid",
          "out/table"),
    Fault("cosines first", "position_table", "cosines before sines",
          "transformer.sincos_position_embedding", "[angle.sin(), angle.cos()]",
          "[angle.cos(), angle.sin()]", "out/table"),
    Fault("frequencies of one axis", "position_table", "10000^(-k / (D/2)), as for one axis",
          "transformer.sincos_position_embedding", "(k / (dim / 4.0))", "(k / (dim / 2.0))",
          "out/table"),
    Fault("tokens time by time", "patch_embedding", "tokens column-major: time, then lead",
          "transformer.PatchEmbedding.forward", "self.proj(x).flatten(2)",
          "self.proj(x).transpose(2, 3).flatten(2)", "out/y"),
)

TRANSFORMER = (
    Fault("eps of the library", "layer_norm", "eps 1e-5, not 1e-6", "transformer.Block.__init__",
          "self.norm1 = nn.LayerNorm(dim, eps=1e-6)", "self.norm1 = nn.LayerNorm(dim)", "out/y"),
    Fault("missing scale", "attention", "scores are not divided by sqrt(d)",
          "transformer.Attention.forward", "F.scaled_dot_product_attention(q, k, v)",
          "F.scaled_dot_product_attention(q, k, v, scale=1.0)", "out/y"),
    Fault("scale of the full width", "attention", "scores are divided by sqrt(D), not sqrt(d)",
          "transformer.Attention.weights", "math.sqrt(q.shape[-1])",
          "math.sqrt(q.shape[-1] * self.heads)", "mid/weights"),
    Fault("keys and values swapped", "attention", "order q, v, k in the fused map",
          "transformer.Attention.split", "return q, k, v", "return q, v, k", "mid/weights"),
    Fault("heads before q, k, v", "attention", "fused map read as heads x 3",
          "transformer.Attention.split",
          "reshape(B, N, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)",
          "reshape(B, N, self.heads, 3, D // self.heads).permute(3, 0, 2, 1, 4)", "mid/weights"),
    Fault("softmax over queries", "attention", "softmax along the other axis",
          "transformer.Attention.weights", "softmax(dim=-1)", "softmax(dim=-2)", "mid/weights"),
    Fault("tanh GELU", "mlp", "the tanh approximation of GELU", "transformer.MLP.forward",
          "F.gelu(self.fc1(z))", "F.gelu(self.fc1(z), approximate='tanh')", "out/y"),
    Fault("post-norm", "block", "norm after the sum, as in the first transformer",
          "transformer.Block.forward", "z + self.skip(self.attn(self.norm1(z)))",
          "self.norm1(z + self.skip(self.attn(z)))", "mid/norm1"),
    Fault("norm skipped", "block", "the MLP sees what was not normalised",
          "transformer.Block.forward", "self.mlp(self.norm2(z))", "self.mlp(z)", "mid/mlp.fc1"),
)

ENCODERS = (
    Fault("positions one token late", "masked_encoder", "the class token's row taken for patch 0",
          "masked_modelling.MaskedAutoencoder.encode", "self.pos_embed[:, 1:]",
          "self.pos_embed[:, :-1]", "mid/blocks.0"),
    Fault("no final norm", "encoder", "tokens leave the last block as they are",
          "masked_modelling.MaskedAutoencoder._encode", "return self.norm(z)", "return z", "out/y"),
    Fault("class token last", "encoder", "class token behind the patches",
          "masked_modelling.MaskedAutoencoder._encode", "torch.cat([cls, z], dim=1)",
          "torch.cat([z, cls], dim=1)", "mid/blocks.0"),
    Fault("class token in the mean", "pooling", "the class token is pooled with the patches",
          "encoders.ECGEncoder.pool", "patches = z[:, 1:]", "patches = z", "out/y"),
    Fault("query of the class token", "pooling", "attention pooling asks with the class token",
          "encoders.ECGEncoder.pool", "self.attention_pool(pooled,",
          "self.attention_pool(z[:, :1],", "out/y"),
    Fault("norm before the mean", "pooling", "fc_norm of every token, then the mean",
          "encoders.ECGEncoder.pool", "self.fc_norm(pooled[:, 0])",
          "(self.fc_norm(patches).mean(1) if self.pooling == 'average' else "
          "self.fc_norm(pooled[:, 0]))",
          "out/y"),
    Fault("fc_norm twice", "prediction_head", "normalised twice before the head (authors)",
          "encoders.ECGEncoder.forward", "if self.authors_double_norm and self", "if self",
          "mid/fc_norm"),
    Fault("GELU in the projection", "projection_head", "GELU for ReLU",
          "encoders.ProjectionHead.__init__", "nn.ReLU()", "nn.GELU()", "out/y"),
)

DECODER = (
    Fault("tokens not restored", "decoder", "shuffled once more in place of back",
          "masked_modelling.MaskedAutoencoder.decode", "dim=1), mask.restore)",
          "dim=1), mask.restore.argsort(dim=1))", "mid/decoder_blocks.0"),
    Fault("no decoder position", "decoder", "the decoder's position table is left out",
          "masked_modelling.MaskedAutoencoder.decode", " + self.decoder_pos_embed", "",
          "mid/decoder_blocks.0"),
    Fault("class token kept", "decoder", "the last patch is cut off, not the class token",
          "masked_modelling.MaskedAutoencoder.decode", "(z))[:, 1:]", "(z))[:, :-1]", "out/y"),
    Fault("predictor on both sides", "consistency", "p is held against p, not against z",
          "masked_modelling.MaskedAutoencoder.consistency_loss", "negative_cosine(p1, z2)",
          "negative_cosine(p1, p2)", "loss/total"),
    Fault("momentum of the other convention", "consistency",
          "running statistics keep 0.1 of what they were, not 0.9", "masked_modelling._mlp",
          "nn.BatchNorm1d(hidden)", "nn.BatchNorm1d(hidden, momentum=0.9)",
          "out/projector.1.running_mean"),
)

FAULTS = (*PATCHES, *TRANSFORMER, *ENCODERS, *DECODER)
