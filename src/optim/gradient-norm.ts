// The Euclidean norm of all gradients together. Float32 sums over short rows, added in double precision: the result is
// good to about 1e-8, and the same whatever order the rows are computed in.

import { fusedMatMul, Graph, toOnnx } from "../graph/index.ts";
import { type Bound, Session, Tensor } from "../runtime/index.ts";

const ROW_ELEMENTS = 4096;
const ROWS_OF_RUN = 64;

export interface GradientNorm {
	/** Each writes its own sums; they may run in any order, several at once. */
	readonly runs: readonly Bound[];
	/** The norm, once all have run. */
	result(): number;
	dispose(): void;
}

/** Prepared for these arrays, which are read at each run. */
export async function prepareGradientNorm(gradients: readonly Float32Array[]): Promise<GradientNorm> {
	const session = await rowSquares();
	const runs: Bound[] = [];
	const sums: Float32Array[] = [];
	for (const gradient of gradients) {
		const bind = (start: number, end: number, rows: number) => {
			const values = Tensor.from(gradient.subarray(start, end), [rows, 1, (end - start) / rows]);
			const part = new Float32Array(rows);
			runs.push(session.bind({ rows: values }, { squares: Tensor.from(part, [rows, 1, 1]) }));
			sums.push(part);
		};
		const full = gradient.length - (gradient.length % ROW_ELEMENTS);
		for (let start = 0; start < full; start += ROWS_OF_RUN * ROW_ELEMENTS) {
			const end = Math.min(full, start + ROWS_OF_RUN * ROW_ELEMENTS);
			bind(start, end, (end - start) / ROW_ELEMENTS);
		}
		if (full < gradient.length) bind(full, gradient.length, 1);
	}
	return {
		runs,
		result: () => {
			let total = 0;
			for (const part of sums) for (const sum of part) total += sum;
			return Math.sqrt(total);
		},
		dispose: () => {
			for (const run of runs) run.dispose();
			session.dispose();
		},
	};
}

/** Each row times itself, [R, 1, W] -> [R, 1, 1]: the kernel of matrix products is three times as fast as ReduceSumSquare. */
function rowSquares(): Promise<Session> {
	const graph = new Graph();
	const rows = graph.input("rows", "float32", ["R", 1, "W"]);
	graph.output("squares", fusedMatMul(rows, rows, { transB: true }));
	return Session.create(toOnnx(graph), { name: "gradient norm", threads: 1 });
}
