// events.jsonl: what happened in a run, one JSON object a line, only ever appended to. The one file of a run that is not
// written aside: a kill may tear its last line, which readers skip and the next writer removes.
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { fileError, isNotFound } from "../util/file-errors.ts";
import { nameNonFinite } from "../util/json-numbers.ts";

/** An event has a type in noun-verb form, and the step it belongs to when it belongs to one. */
export interface RunEvent {
	readonly type: string;
	readonly step?: number;
	readonly [field: string]: unknown;
}

/** All complete events. Throws UserError with the line's number when a line before the last is not an event. */
export async function readEvents(path: string): Promise<RunEvent[]> {
	return (await readLines(path)).events;
}

/**
 * Keeps what had happened up to a checkpoint, for a run that goes on from there: drops the events of later steps, the
 * events without a step that came after the first of those, and a torn line. Returns how many were dropped.
 */
export async function truncateEvents(path: string, { step }: { step: number }): Promise<number> {
	const { events } = await readLines(path);
	const later = events.findIndex((event) => (event.step ?? 0) > step);
	// A checkpoint is written in the background, so its event may stand behind those of a later step.
	const kept = later === -1 ? events : events.filter((e, i) => (e.step === undefined ? i < later : e.step <= step));
	await writeFileAtomic(path, kept.map(format).join(""));
	return events.length - kept.length;
}

/** Removes a torn last line. */
export async function repairEvents(path: string): Promise<void> {
	const { events, torn } = await readLines(path);
	if (torn) await writeFileAtomic(path, events.map(format).join(""));
}

/** Appends to an event file, which it creates if there is none. The caller closes it, once. */
export class EventLog {
	readonly #path: string;
	readonly #file: number;
	#bytes: number;

	constructor(path: string) {
		try {
			this.#file = openSync(path, "a");
		} catch (error) {
			throw fileError(error, { doing: "write", path });
		}
		this.#path = path;
		this.#bytes = fstatSync(this.#file).size;
	}

	/**
	 * The event has left the process when this returns: a kill does not lose it (a power failure may). Synchronous, some
	 * microseconds, so that events stand in the order in which they happened.
	 */
	append(event: RunEvent): void {
		const line = Buffer.from(format(event));
		try {
			for (let done = 0; done < line.length; ) done += writeSync(this.#file, line, done);
			this.#bytes += line.length;
		} catch (error) {
			ftruncateSync(this.#file, this.#bytes);
			throw fileError(error, { doing: "write", path: this.#path });
		}
	}

	close(): void {
		closeSync(this.#file);
	}
}

function format(event: RunEvent): string {
	return `${JSON.stringify(event, nameNonFinite)}\n`;
}

async function readLines(path: string): Promise<{ events: RunEvent[]; torn: boolean }> {
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (error) {
		if (isNotFound(error)) return { events: [], torn: false };
		throw fileError(error, { doing: "read", path });
	}
	const lines = text.split("\n");
	const rest = lines.pop() as string;
	const events: RunEvent[] = [];
	for (const [i, line] of lines.entries()) {
		const event = parse(line);
		if (event !== undefined) {
			events.push(event);
			continue;
		}
		// After a power failure the last line may have its end but not its content.
		if (i === lines.length - 1 && rest === "") return { events, torn: true };
		throw new UserError("RUN_EVENTS", `Line ${i + 1} is not an event.`, {
			where: `${path}:${i + 1}`,
			expected: 'a JSON object with a "type"',
			found: line.slice(0, 80),
			hint: "The file was edited or damaged: remove the line.",
		});
	}
	return { events, torn: rest !== "" };
}

function parse(line: string): RunEvent | undefined {
	try {
		const event = JSON.parse(line) as RunEvent | null;
		const stepFits = event?.step === undefined || Number.isSafeInteger(event.step);
		return typeof event?.type === "string" && stepFits ? event : undefined;
	} catch {
		return undefined;
	}
}
