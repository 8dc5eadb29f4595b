// The functions of ONNX Runtime's C API that attune calls: slot in the OrtApi struct, result, arguments.
// The struct (onnxruntime_c_api.h) is append-only, so a slot never moves; prove.ts runs them before anything else does.
// Every pointer is "void*": koffi takes a bigint, a typed array (its memory) or null for it. Out-parameters are a
// BigUint64Array of one element.

import koffi from "koffi";

/** ONNX Runtime's version of the struct; one for each minor release. */
export const ORT_API_VERSION = 30;

const P = "void*";
const STATUS = "void*";
/** ORTCHAR_T: paths are UTF-16 on Windows. */
const PATH = process.platform === "win32" ? "str16" : "str";

const SLOTS = {
	GetErrorMessage: [2, "str", [P]],
	CreateEnv: [3, STATUS, ["int", "str", P]],
	CreateSessionFromArray: [8, STATUS, [P, P, "size_t", P, P]],
	Run: [9, STATUS, [P, P, P, P, "size_t", P, "size_t", P]],
	CreateSessionOptions: [10, STATUS, [P]],
	SetSessionExecutionMode: [13, STATUS, [P, "int"]],
	EnableProfiling: [14, STATUS, [P, PATH]],
	EnableMemPattern: [16, STATUS, [P]],
	DisableMemPattern: [17, STATUS, [P]],
	EnableCpuMemArena: [18, STATUS, [P]],
	DisableCpuMemArena: [19, STATUS, [P]],
	SetSessionGraphOptimizationLevel: [23, STATUS, [P, "int"]],
	SetIntraOpNumThreads: [24, STATUS, [P, "int"]],
	SetInterOpNumThreads: [25, STATUS, [P, "int"]],
	SessionGetInputCount: [30, STATUS, [P, P]],
	SessionGetOutputCount: [31, STATUS, [P, P]],
	SessionGetInputName: [36, STATUS, [P, "size_t", P, P]],
	SessionGetOutputName: [37, STATUS, [P, "size_t", P, P]],
	CreateRunOptions: [39, STATUS, [P]],
	RunOptionsSetTerminate: [46, STATUS, [P]],
	CreateTensorWithDataAsOrtValue: [49, STATUS, [P, P, "size_t", P, "size_t", "int", P]],
	GetTensorMutableData: [51, STATUS, [P, P]],
	GetTensorElementType: [60, STATUS, [P, P]],
	GetDimensionsCount: [61, STATUS, [P, P]],
	GetDimensions: [62, STATUS, [P, P, "size_t"]],
	GetTensorTypeAndShape: [65, STATUS, [P, P]],
	CreateCpuMemoryInfo: [69, STATUS, ["int", "int", P]],
	AllocatorFree: [76, STATUS, [P, P]],
	GetAllocatorWithDefaultOptions: [78, STATUS, [P]],
	ReleaseStatus: [93, "void", [P]],
	ReleaseSession: [95, "void", [P]],
	ReleaseValue: [96, "void", [P]],
	ReleaseRunOptions: [97, "void", [P]],
	ReleaseTensorTypeAndShapeInfo: [99, "void", [P]],
	ReleaseSessionOptions: [100, "void", [P]],
	AddSessionConfigEntry: [130, STATUS, [P, "str", "str"]],
	AddInitializer: [150, STATUS, [P, "str", P]],
	AddExternalInitializers: [210, STATUS, [P, P, P, "size_t"]],
	SetDeterministicCompute: [273, STATUS, [P, "bool"]],
} as const satisfies Record<string, readonly [slot: number, result: string, args: readonly string[]]>;

/** A native address. */
export type Pointer = bigint;
type Argument = Pointer | number | string | boolean | ArrayBufferView | null;

/** A C function. `async` runs it on a thread of koffi's and calls back on ours. */
export interface NativeFunction<Result> {
	(...args: Argument[]): Result;
	async(...args: [...Argument[], (error: unknown, result: Result) => void]): void;
}

interface Results {
	"void*": Pointer | null;
	void: undefined;
	int: number;
	str: string;
}

export type OrtApi = { readonly [Name in keyof typeof SLOTS]: NativeFunction<Results[(typeof SLOTS)[Name][1]]> };

/** Binds every function of the table; `struct` is the address that GetApi returned. */
export function bindApi(struct: Pointer): OrtApi {
	const count = Math.max(...Object.values(SLOTS).map(([slot]) => slot)) + 1;
	const pointers = koffi.decode(struct, koffi.array("void*", count)) as Pointer[];
	const entries = Object.entries(SLOTS).map(([name, [slot, result, args]]) => [
		name,
		koffi.decode(pointers[slot], koffi.proto(result, [...args])),
	]);
	return Object.fromEntries(entries) as OrtApi;
}
