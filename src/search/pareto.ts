// Several objectives: who dominates whom, how much space a front covers, and the order in which trials are worth keeping.
// Everything here is in losses: smaller is better in every coordinate. Use `toLosses` first.

/** `a` is nowhere worse than `b` and somewhere better. */
export function dominates(a: readonly number[], b: readonly number[]): boolean {
	let better = false;
	for (let i = 0; i < a.length; i++) {
		if ((a[i] as number) > (b[i] as number)) return false;
		if ((a[i] as number) < (b[i] as number)) better = true;
	}
	return better;
}

/** Fronts of indices: the first is dominated by nobody, the next only by the first, and so on (Deb et al. 2002). */
export function nonDominatedSort(losses: readonly (readonly number[])[]): number[][] {
	if (losses[0]?.length === 1) return sortOne(losses);
	const beats: number[][] = losses.map(() => []);
	const beatenBy = losses.map(() => 0);
	for (let i = 0; i < losses.length; i++) {
		for (let j = i + 1; j < losses.length; j++) {
			const [a, b] = [losses[i] as number[], losses[j] as number[]];
			const [winner, loser] = dominates(a, b) ? [i, j] : dominates(b, a) ? [j, i] : [-1, -1];
			if (winner === -1) continue;
			(beats[winner] as number[]).push(loser);
			(beatenBy as number[])[loser] = (beatenBy[loser] as number) + 1;
		}
	}
	const fronts: number[][] = [];
	let front = losses.map((_, i) => i).filter((i) => beatenBy[i] === 0);
	while (front.length > 0) {
		fronts.push(front);
		const next: number[] = [];
		for (const i of front) {
			for (const j of beats[i] as number[]) {
				beatenBy[j] = (beatenBy[j] as number) - 1;
				if (beatenBy[j] === 0) next.push(j);
			}
		}
		front = next.sort((a, b) => a - b);
	}
	return fronts;
}

function sortOne(losses: readonly (readonly number[])[]): number[][] {
	const value = (i: number) => (losses[i] as number[])[0] as number;
	const order = losses.map((_, i) => i).sort((a, b) => value(a) - value(b) || a - b);
	const fronts: number[][] = [];
	for (const i of order) {
		const last = fronts.at(-1);
		if (last !== undefined && value(last[0] as number) === value(i)) last.push(i);
		else fronts.push([i]);
	}
	return fronts;
}

/**
 * The volume that the points dominate, up to `reference` (points beyond it count for nothing).
 * A sum over exclusive contributions (While, Bradstreet and Barone 2012); exact for any number of objectives, quick for
 * two or three and some hundred points.
 */
export function hypervolume(losses: readonly (readonly number[])[], reference: readonly number[]): number {
	const inside = losses.filter((point) => point.every((value, i) => value < (reference[i] as number)));
	const front = (nonDominatedSort(inside)[0] ?? []).map((i) => inside[i] as readonly number[]);
	return volumeOf(front, reference);
}

function volumeOf(front: readonly (readonly number[])[], reference: readonly number[]): number {
	if (front.length === 0) return 0;
	if (reference.length === 1) return (reference[0] as number) - Math.min(...front.map((point) => point[0] as number));
	if (reference.length === 2) return areaOf(front, reference);
	let total = 0;
	front.forEach((point, i) => {
		const box = point.reduce((volume, value, d) => volume * ((reference[d] as number) - value), 1);
		const rest = front.slice(i + 1).map((other) => other.map((value, d) => Math.max(value, point[d] as number)));
		total +=
			box -
			volumeOf(
				(nonDominatedSort(rest)[0] ?? []).map((j) => rest[j] as number[]),
				reference,
			);
	});
	return total;
}

function areaOf(front: readonly (readonly number[])[], reference: readonly number[]): number {
	const sorted = [...front].sort((a, b) => (a[0] as number) - (b[0] as number) || (a[1] as number) - (b[1] as number));
	let area = 0;
	let floor = reference[1] as number;
	for (const [x, y] of sorted as [number, number][]) {
		if (y >= floor) continue;
		area += ((reference[0] as number) - x) * (floor - y);
		floor = y;
	}
	return area;
}

/** What each point of a front adds to its hypervolume: zero for doubles. */
export function contributions(front: readonly (readonly number[])[], reference: readonly number[]): number[] {
	const total = hypervolume(front, reference);
	return front.map((_, i) =>
		Math.max(0, total - hypervolume([...front.slice(0, i), ...front.slice(i + 1)], reference)),
	);
}

/** A point a little worse than the worst in every objective, so that the edges of a front count too. */
export function referencePoint(losses: readonly (readonly number[])[]): number[] {
	return (losses[0] ?? []).map((_, d) => {
		const column = losses.map((point) => point[d] as number);
		const worst = Math.max(...column);
		return worst + 0.1 * (worst - Math.min(...column) || Math.abs(worst) || 1);
	});
}

/** Indices from best to worst: by front, and within a front by what the point adds to the hypervolume; then by index. */
export function rankOrder(losses: readonly (readonly number[])[]): number[] {
	if (losses.length === 0) return [];
	const fronts = nonDominatedSort(losses);
	if (losses[0]?.length === 1) return fronts.flat();
	const reference = referencePoint(losses);
	return fronts.flatMap((front) => {
		const adds = contributions(
			front.map((i) => losses[i] as readonly number[]),
			reference,
		);
		return front
			.map((index, at) => ({ index, adds: adds[at] as number }))
			.sort((a, b) => b.adds - a.adds || a.index - b.index)
			.map(({ index }) => index);
	});
}
