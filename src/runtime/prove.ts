// Proof, before anything else runs, that the table in api.ts fits the library: one graph, c = a + b, taken through the
// same functions as every other. A wrong slot would call some other function of ONNX Runtime with our arguments.

import koffi from "koffi";
import type { OrtApi, Pointer } from "./api.ts";
import { check, out, RuntimeError } from "./errors.ts";

/** ModelProto of c = a + b over float32[1], IR version 10, opset 21. The test encodes it again. */
export const PROOF_MODEL =
	"CAo6TQoSCgFhCgFiEgFjGgAiA0FkZDoAEgR0ZXN0Wg8KAWESCgoICAESBAoCCAFaDwoBYhIKCggIARIECgIIAWIPCgFjEgoKCAgBEgQKAggBQgQKABAVQhEKDWNvbS5taWNyb3NvZnQQAQ==";

interface Opened {
	readonly api: OrtApi;
	readonly env: Pointer;
	readonly cpuMemory: Pointer;
}

/** Throws RuntimeError unless 2 + 3 = 5. */
export function prove({ api, env, cpuMemory }: Opened): void {
	const where = "ONNX Runtime's first run";
	const get = (call: (result: BigUint64Array) => Pointer | null) => out(api, where, call);
	const model = Buffer.from(PROOF_MODEL, "base64");
	const options = get((result) => api.CreateSessionOptions(result));
	check(api, api.SetIntraOpNumThreads(options, 1), where);
	const session = get((result) => api.CreateSessionFromArray(env, model, model.length, options, result));
	api.ReleaseSessionOptions(options);

	const data = new Float32Array([2, 3, 0]);
	const names = ["a", "b", "c"].map((name) => new BigUint64Array([BigInt(name.charCodeAt(0))]));
	const values = names.map((_, i) =>
		get((result) =>
			api.CreateTensorWithDataAsOrtValue(cpuMemory, data.subarray(i), 4, new BigInt64Array([1n]), 1, 1, result),
		),
	);
	const [a, b, c] = names.map((name) => koffi.address(name)) as [Pointer, Pointer, Pointer];
	const inputs = BigUint64Array.from(values.slice(0, 2));
	const outputs = BigUint64Array.from(values.slice(2));
	check(api, api.Run(session, null, new BigUint64Array([a, b]), inputs, 2, new BigUint64Array([c]), 1, outputs), where);
	for (const value of values) api.ReleaseValue(value);
	api.ReleaseSession(session);
	if (data[2] !== 5) throw new RuntimeError("ONNX_RUNTIME", `2 + 3 gave ${data[2]}`, where);
}
