export * from "./build.ts";
export { type Dim, divideDim, formatShape, multiplyDims, resolveDim, type Shape, sameShape } from "./dim.ts";
export { Graph, GraphError, type Node, type Value } from "./graph.ts";
export { nodesInOrder, toOnnx } from "./onnx.ts";
export type { OpName } from "./ops/index.ts";
