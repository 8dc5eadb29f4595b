// What joins work that reports through a callback to a generator of events.

import { Channel } from "./channel.ts";

/**
 * Runs `work` and yields what it reports meanwhile, one report in `everyMs` (a second unless said) at most, none before
 * that time is over. Returns what the work returns, and throws what it throws.
 */
export async function* progressOf<Report, Result>(
	work: (report: (value: Report) => void) => Promise<Result>,
	{ everyMs = 1000, clock = () => performance.now() }: { everyMs?: number; clock?: () => number } = {},
): AsyncGenerator<Report, Result> {
	const reports = new Channel<Report>();
	let last = clock();
	const result = work((value) => {
		const now = clock();
		if (now - last < everyMs) return;
		last = now;
		reports.push(value);
	});
	const close = () => reports.close();
	result.then(close, close);
	try {
		yield* reports;
	} finally {
		// Also when the reader leaves early: what the work uses may be let go of after this.
		await result.catch(() => {});
	}
	return result;
}
