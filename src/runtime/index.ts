// ONNX Runtime through its C API: the only folder that knows native code.

export { physicalCores } from "./cores.ts";
export { RuntimeError, type RuntimeErrorCode } from "./errors.ts";
export { ORT_VERSION, runtimeVersion } from "./library.ts";
export { Bound, type Output, type RunOptions, Session, type SessionOptions } from "./session.ts";
export { type DType, Tensor, type TypedArray } from "./tensor.ts";
