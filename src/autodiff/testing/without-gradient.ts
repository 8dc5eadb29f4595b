// The operators that are not differentiable here, and why. The rule of one says either that nothing passes ("nothing":
// its result is locally constant, or made of integers) or that reaching it is a mistake ("refused").

import type { OpName } from "../../graph/index.ts";

export const withoutGradient = {
	Less: { passes: "nothing", because: "its result is bool" },
	GreaterOrEqual: { passes: "nothing", because: "its result is bool" },
	BitwiseXor: { passes: "nothing", because: "it works on integers" },
	BitShift: { passes: "nothing", because: "it works on integers" },
	Shape: { passes: "nothing", because: "a shape does not depend on contents" },
	ConstantOfShape: { passes: "nothing", because: "it depends on nothing" },
	ReduceMax: { passes: "refused", because: "it only finds what is subtracted again or compared" },
	SkipLayerNormalization: { passes: "refused", because: "it is for generation" },
	GroupQueryAttention: { passes: "refused", because: "it is for generation" },
	MatMulNBits: { passes: "refused", because: "it is for generation" },
	DequantizeLinear: { passes: "refused", because: "what is held in few bits is frozen" },
} as const satisfies Partial<Record<OpName, { passes: "nothing" | "refused"; because: string }>>;

export type WithoutGradient = keyof typeof withoutGradient;
