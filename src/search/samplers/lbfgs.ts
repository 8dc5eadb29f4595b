// L-BFGS (Nocedal 1980): minimises a smooth function from its gradient, remembering the last few steps. No constraints:
// callers reparametrise. Used to fit the Gaussian process and to climb its acquisition function.

export interface Valued {
	readonly value: number;
	readonly gradient: Float64Array;
}

export interface LbfgsOptions {
	/** Iterations; 50 unless said. */
	readonly iterations?: number;
	/** Stops when no gradient entry is larger; 1e-5 unless said. */
	readonly tolerance?: number;
	/** No step moves any coordinate further; 2 unless said. */
	readonly longestMove?: number;
}

/** The best point found. `f` may return a value that is not finite: such points are never accepted. */
export function minimize(
	f: (x: Float64Array) => Valued,
	start: Float64Array,
	{ iterations = 50, tolerance = 1e-5, longestMove = 2 }: LbfgsOptions = {},
): { x: Float64Array; value: number } {
	const memory = 8;
	let x: Float64Array = Float64Array.from(start);
	let here = f(x);
	const steps: { s: Float64Array; y: Float64Array; rho: number }[] = [];
	for (let iteration = 0; iteration < iterations && Number.isFinite(here.value); iteration++) {
		if (largest(here.gradient) < tolerance) break;
		let direction = descent(here.gradient, steps);
		let slope = dot(direction, here.gradient);
		if (!(slope < 0)) {
			steps.length = 0;
			direction = here.gradient.map((g) => -g);
			slope = dot(direction, here.gradient);
		}
		const first = steps.length === 0 ? Math.min(1, 1 / largest(here.gradient)) : 1;
		const next = lineSearch(f, { x, here, direction, slope, first: Math.min(first, longestMove / largest(direction)) });
		if (next === undefined) {
			if (steps.length === 0) break;
			steps.length = 0;
			continue;
		}
		const s = next.x.map((value, i) => value - (x[i] as number));
		const y = next.at.gradient.map((value, i) => value - (here.gradient[i] as number));
		const curvature = dot(s, y);
		if (curvature > 1e-12 * dot(y, y)) steps.push({ s, y, rho: 1 / curvature });
		if (steps.length > memory) steps.shift();
		const gain = here.value - next.at.value;
		x = next.x;
		here = next.at;
		if (gain < 1e-10 * (1 + Math.abs(here.value))) break;
	}
	return { x, value: here.value };
}

interface Search {
	readonly x: Float64Array;
	readonly here: Valued;
	readonly direction: Float64Array;
	readonly slope: number;
	readonly first: number;
}

/** A step that satisfies the weak Wolfe conditions, by bisection; or the best sufficient decrease met on the way. */
function lineSearch(f: (x: Float64Array) => Valued, { x, here, direction, slope, first }: Search) {
	let low = 0;
	let high = Number.POSITIVE_INFINITY;
	let t = first;
	let accepted: { x: Float64Array; at: Valued } | undefined;
	for (let i = 0; i < 25; i++) {
		const to = x.map((value, k) => value + t * (direction[k] as number));
		const at = f(to);
		if (!(at.value <= here.value + 1e-4 * t * slope)) high = t;
		else {
			accepted = { x: to, at };
			if (dot(at.gradient, direction) >= 0.9 * slope) return accepted;
			low = t;
			if (high === Number.POSITIVE_INFINITY && i > 3) return accepted;
		}
		t = high === Number.POSITIVE_INFINITY ? 2 * t : (low + high) / 2;
	}
	return accepted;
}

/** The two-loop recursion. */
function descent(
	gradient: Float64Array,
	steps: readonly { s: Float64Array; y: Float64Array; rho: number }[],
): Float64Array {
	const q = gradient.map((g) => -g);
	const alphas = new Array<number>(steps.length);
	for (let i = steps.length - 1; i >= 0; i--) {
		const { s, y, rho } = steps[i] as (typeof steps)[number];
		const alpha = rho * dot(s, q);
		alphas[i] = alpha;
		for (let k = 0; k < q.length; k++) q[k] = (q[k] as number) - alpha * (y[k] as number);
	}
	const last = steps.at(-1);
	if (last !== undefined) {
		const scale = 1 / (last.rho * dot(last.y, last.y));
		for (let k = 0; k < q.length; k++) q[k] = (q[k] as number) * scale;
	}
	steps.forEach(({ s, y, rho }, i) => {
		const beta = rho * dot(y, q);
		for (let k = 0; k < q.length; k++) q[k] = (q[k] as number) + ((alphas[i] as number) - beta) * (s[k] as number);
	});
	return q;
}

function dot(a: Float64Array, b: Float64Array): number {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
	return sum;
}

function largest(a: Float64Array): number {
	let most = 0;
	for (const value of a) most = Math.max(most, Math.abs(value));
	return most;
}
