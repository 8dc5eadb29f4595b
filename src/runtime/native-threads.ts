// Native calls that leave the event loop run on libuv's threads, of which Node.js has four for everything: files, DNS,
// compression. We take three at most, so that a file can be read during a run; further calls wait their turn, in order.

const THREADS = 3;

let running = 0;
const waiting: (() => void)[] = [];

/** Does `work` when a thread is free. Rejects with the signal's reason if it is aborted before `work` begins. */
export async function onNativeThread<Result>(
	work: () => Promise<Result>,
	options: { signal?: AbortSignal | undefined } = {},
): Promise<Result> {
	options.signal?.throwIfAborted();
	if (running < THREADS) running++;
	else await turn(options.signal);
	try {
		options.signal?.throwIfAborted();
		return await work();
	} finally {
		const next = waiting.shift();
		if (next === undefined) running--;
		else next();
	}
}

/** Resolves when a call that has ended hands its thread on. */
function turn(signal: AbortSignal | undefined): Promise<void> {
	return new Promise((resolve, reject) => {
		const start = () => {
			signal?.removeEventListener("abort", leave);
			resolve();
		};
		const leave = () => {
			waiting.splice(waiting.indexOf(start), 1);
			reject(signal?.reason);
		};
		waiting.push(start);
		signal?.addEventListener("abort", leave, { once: true });
	});
}
