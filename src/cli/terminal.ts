// The world as the command line sees it: two streams, the keyboard, the clock and the signals, passed in so that tests can
// stand in for each. No rendering.
import type { Readable } from "node:stream";

export interface OutputStream {
	write(text: string): unknown;
	isTTY?: boolean | undefined;
	columns?: number | undefined;
	rows?: number | undefined;
}

/** The part of `process` that tells about Ctrl-C and ends everything. */
export interface SignalSource {
	on(signal: NodeJS.Signals, listener: () => void): unknown;
	off(signal: NodeJS.Signals, listener: () => void): unknown;
	exit(code: number): unknown;
}

export interface Terminal {
	/** Results. */
	stdout: OutputStream;
	/** Progress, warnings and errors. */
	stderr: OutputStream;
	stdin: Readable & { isTTY?: boolean | undefined };
	env: Readonly<Record<string, string | undefined>>;
	signals: SignalSource;
	/** Where the user stands: paths are shown from here. */
	directory: string;
	nowMs(): number;
}

export const defaultColumns = 80;
export const defaultRows = 24;

export const exitCodes = { done: 0, failed: 1, wrongUsage: 2, interrupted: 130 } as const;

/** This process as a terminal. A closed pipe behind stdout (`attune data check FILE | head`) ends it without an error. */
export function processTerminal(): Terminal {
	const { stdout, stderr, stdin, env } = process;
	stdout.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") throw error;
		process.exit(exitCodes.done);
	});
	return {
		stdout,
		stderr,
		stdin,
		env,
		signals: process,
		directory: process.cwd(),
		nowMs: () => performance.now(),
	};
}
