// The closed set of operators: one row each. Names, attributes and semantics are ONNX's (opset in onnx.ts) or, in the
// domain com.microsoft, ONNX Runtime's. A new operator is a row here, a row in autodiff's table, and its test.

import { attention } from "./attention.ts";
import { elementwise } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import type { OpDefinition } from "./op.ts";
import { quantization } from "./quantization.ts";
import { reduce } from "./reduce.ts";
import { shape } from "./shape.ts";

const table = { ...elementwise, ...matmul, ...shape, ...reduce, ...attention, ...quantization };

export type OpName = keyof typeof table;
export const ops: Readonly<Record<OpName, OpDefinition>> = table;
