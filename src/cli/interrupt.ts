// Ctrl-C: the first one asks the work to stop at the next good place, the second one ends the process at once.
import { exitCodes, type SignalSource } from "./terminal.ts";

const signals = ["SIGINT", "SIGTERM"] as const;

/**
 * Runs `work` with a signal that the first Ctrl-C (or a SIGTERM) aborts; `onAbort` is called then, once. Listeners are
 * gone when it returns.
 */
export async function withInterrupt<Result>(
	work: (signal: AbortSignal) => Promise<Result>,
	{ source, onAbort }: { source: SignalSource; onAbort: () => void },
): Promise<Result> {
	const controller = new AbortController();
	const listener = () => {
		if (controller.signal.aborted) {
			source.exit(exitCodes.interrupted);
			return;
		}
		onAbort();
		controller.abort();
	};
	for (const signal of signals) source.on(signal, listener);
	try {
		return await work(controller.signal);
	} finally {
		for (const signal of signals) source.off(signal, listener);
	}
}
