// Numbers of a run in the format that TensorBoard reads: TFRecord (length, masked CRC-32C, data, masked CRC-32C) around
// the protobuf message Event, of which only wall time, step, version and simple scalar values are written.
// https://www.tensorflow.org/tutorials/load_data/tfrecord and tensorflow/core/util/event.proto

import { closeSync, openSync, writeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError } from "../util/file-errors.ts";
import type { RecipeEvent } from "./options/recipe.ts";

/** Folder of a run directory. */
export const tensorboardFolder = "tensorboard";
const fileName = "events.out.tfevents.0000000000.attune";

/** A file that TensorBoard follows while it grows. */
export class TensorboardLog {
	readonly #file: number;
	readonly #clock: () => number;

	private constructor(file: number, clock: () => number) {
		this.#file = file;
		this.#clock = clock;
	}

	/** `past`: the events that a resumed run keeps; they are written again. `clock`: seconds since 1970. */
	static async open(
		runPath: string,
		{ past, clock }: { past: Iterable<unknown>; clock: () => number },
	): Promise<TensorboardLog> {
		const folder = join(runPath, tensorboardFolder);
		try {
			await mkdir(folder, { recursive: true });
			const log = new TensorboardLog(openSync(join(folder, fileName), "w"), clock);
			log.#append(record(versionEvent(clock())));
			for (const event of past) log.write(event as RecipeEvent);
			return log;
		} catch (error) {
			throw fileError(error, { doing: "write", path: folder });
		}
	}

	/** Writes what has numbers of a step; other events are passed over. */
	write(event: RecipeEvent): void {
		const scalars = scalarsOf(event);
		if (scalars) this.#append(record(scalarEvent({ ...scalars, wallTime: this.#clock() })));
	}

	close(): void {
		closeSync(this.#file);
	}

	#append(bytes: Uint8Array): void {
		writeSync(this.#file, bytes);
	}
}

interface Scalars {
	step: number;
	values: Readonly<Record<string, number>>;
}

function scalarsOf(event: RecipeEvent): Scalars | undefined {
	if (event.type === "evaluation-done") {
		return { step: event.step, values: { "validation/loss": event.loss, "validation/perplexity": event.perplexity } };
	}
	if (event.type !== "step-done") return undefined;
	const { step, loss, learningRate, gradientNorm, batchSize, supervisedTokensPerSecond, gradientNoiseScale } = event;
	return {
		step,
		values: {
			"training/loss": loss,
			"training/learning_rate": learningRate,
			"training/gradient_norm": gradientNorm,
			"training/batch_size": batchSize,
			"training/supervised_tokens_per_second": supervisedTokensPerSecond,
			...(gradientNoiseScale !== undefined && { "training/gradient_noise_scale": gradientNoiseScale }),
		},
	};
}

const encoder = new TextEncoder();

function versionEvent(wallTime: number): Uint8Array {
	return message([double(1, wallTime), bytes(3, encoder.encode("brain.Event:2"))]);
}

function scalarEvent({ step, wallTime, values }: Scalars & { wallTime: number }): Uint8Array {
	const summary = Object.entries(values).map(([tag, value]) =>
		bytes(1, message([bytes(1, encoder.encode(tag)), float(2, value)])),
	);
	return message([double(1, wallTime), integer(2, step), bytes(5, message(summary))]);
}

function record(data: Uint8Array): Uint8Array {
	const out = new Uint8Array(16 + data.length);
	const view = new DataView(out.buffer);
	view.setBigUint64(0, BigInt(data.length), true);
	view.setUint32(8, maskedCrc(out.subarray(0, 8)), true);
	out.set(data, 12);
	view.setUint32(12 + data.length, maskedCrc(data), true);
	return out;
}

/** CRC-32C (Castagnoli), rotated and offset so that a CRC of data with CRCs in it stays a good one. */
export function maskedCrc(data: Uint8Array): number {
	let crc = 0xffffffff;
	for (const byte of data) crc = (crcTable[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
	crc = ~crc >>> 0;
	return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
	let crc = index;
	for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
	return crc;
});

// Protobuf's wire format.

function message(parts: readonly Uint8Array[]): Uint8Array {
	return Uint8Array.from(Buffer.concat(parts));
}

function varint(value: number): number[] {
	const out: number[] = [];
	let rest = value;
	for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
	return [...out, rest];
}

const integer = (field: number, value: number) => Uint8Array.from([field << 3, ...varint(value)]);
const double = (field: number, value: number) =>
	message([Uint8Array.of((field << 3) | 1), new Uint8Array(Float64Array.of(value).buffer)]);
const bytes = (field: number, value: Uint8Array) =>
	message([Uint8Array.from([(field << 3) | 2, ...varint(value.length)]), value]);
const float = (field: number, value: number) =>
	message([Uint8Array.of((field << 3) | 5), new Uint8Array(Float32Array.of(value).buffer)]);
