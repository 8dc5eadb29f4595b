// What goes wrong inside ONNX Runtime. A missing or different library is the user's to mend (UserError, see library.ts);
// a failing graph is ours, and keeps its stack.

import type { OrtApi, Pointer } from "./api.ts";

export type RuntimeErrorCode = "ONNX_RUNTIME" | "OUT_OF_MEMORY" | "INVALID_FEED" | "DISPOSED";

/** A call into ONNX Runtime that failed. `where` names the session; the message carries ONNX Runtime's own words. */
export class RuntimeError extends Error {
	readonly code: RuntimeErrorCode;
	readonly where: string;

	constructor(code: RuntimeErrorCode, message: string, where: string) {
		super(`${where}: ${message}`);
		this.name = "RuntimeError";
		this.code = code;
		this.where = where;
	}
}

/** Throws when `status` is an error, and frees it. `where` names the session or the call. */
export function check(api: OrtApi, status: Pointer | null, where: string): void {
	if (status === null) return;
	const message = api.GetErrorMessage(status).trim();
	api.ReleaseStatus(status);
	throw new RuntimeError(classify(message), message, where);
}

/** Calls a function whose last argument is an out-parameter, and returns what it wrote. */
export function out(api: OrtApi, where: string, call: (result: BigUint64Array) => Pointer | null): Pointer {
	const result = new BigUint64Array(1);
	check(api, call(result), where);
	return result[0] as Pointer;
}

/** The code for a message of ONNX Runtime, whose own status has no value for "out of memory". */
function classify(message: string): RuntimeErrorCode {
	return OUT_OF_MEMORY.test(message) ? "OUT_OF_MEMORY" : "ONNX_RUNTIME";
}

const OUT_OF_MEMORY = /bad_alloc|failed to allocate memory|available memory of \d+ is smaller|out of memory/i;
