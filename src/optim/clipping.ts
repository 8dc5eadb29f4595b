// Clipping by the global norm (Pascanu et al., 2013), as torch.nn.utils.clip_grad_norm_ does it.

/**
 * The scale that brings a gradient of `norm` down to `maxNorm`; 1 when it is within. The norm must be finite: a step
 * whose gradient is not must be skipped, because no scale repairs it.
 */
export function clippingScale({ norm, maxNorm }: { norm: number; maxNorm: number }): number {
	if (!Number.isFinite(norm)) throw new Error(`a gradient of norm ${norm} cannot be clipped; skip the step`);
	return Math.min(1, maxNorm / (norm + 1e-6));
}
