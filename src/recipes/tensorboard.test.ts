// The file is read back by a reader that shares nothing with the writer: CRC-32C bit by bit, protobuf field by field.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { RecipeEvent } from "./options/recipe.ts";
import { maskedCrc, TensorboardLog, tensorboardFolder } from "./tensorboard.ts";

let directory: string | undefined;
afterEach(async () => {
	if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

function crc32c(data: Uint8Array): number {
	let crc = 0xffffffffn;
	for (const byte of data) {
		crc ^= BigInt(byte);
		for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
	}
	return Number(crc ^ 0xffffffffn);
}

type Field = number | bigint | Uint8Array;

function fieldsOf(data: Uint8Array): [number, Field][] {
	const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
	const fields: [number, Field][] = [];
	let at = 0;
	const take = (length: number) => {
		at += length;
		return at - length;
	};
	const varint = () => {
		let value = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = data[take(1)] as number;
			value |= BigInt(byte & 127) << shift;
			if (byte < 128) return value;
		}
	};
	while (at < data.length) {
		const tag = Number(varint());
		const field = tag >> 3;
		const wire = tag & 7;
		if (wire === 0) fields.push([field, varint()]);
		else if (wire === 1) fields.push([field, view.getFloat64(take(8), true)]);
		else if (wire === 5) fields.push([field, view.getFloat32(take(4), true)]);
		else {
			const length = Number(varint());
			const start = take(length);
			fields.push([field, data.subarray(start, start + length)]);
		}
	}
	return fields;
}

async function recordsOf(path: string) {
	const file = new Uint8Array(await readFile(path));
	const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
	const unmask = (masked: number) => {
		const rotated = (masked - 0xa282ead8) >>> 0;
		return ((rotated >>> 17) | (rotated << 15)) >>> 0;
	};
	const records: Uint8Array[] = [];
	for (let at = 0; at < file.length; ) {
		const length = Number(view.getBigUint64(at, true));
		expect(unmask(view.getUint32(at + 8, true))).toBe(crc32c(file.subarray(at, at + 8)));
		const data = file.subarray(at + 12, at + 12 + length);
		expect(unmask(view.getUint32(at + 12 + length, true))).toBe(crc32c(data));
		records.push(data);
		at += 16 + length;
	}
	return records;
}

const stepDone = (step: number): RecipeEvent => ({
	type: "step-done",
	step,
	steps: 400,
	loss: 2.5,
	learningRate: 1e-4,
	supervisedTokensPerSecond: 60,
	secondsLeft: 3,
	gradientNorm: 0.75,
	batchSize: 8,
});

test("CRC-32C of the published example, masked as TensorFlow does", () => {
	// RFC 3720, B.4: 32 bytes of zero have the checksum 8a9136aa.
	expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
	expect(maskedCrc(new Uint8Array(32))).toBe((((0x8a9136aa >>> 15) | (0x8a9136aa << 17)) + 0xa282ead8) >>> 0);
});

test("steps and evaluations, those from before a resume first", async () => {
	directory = await mkdtemp(join(tmpdir(), "attune-tensorboard-"));
	const log = await TensorboardLog.open(directory, { past: [stepDone(299)], clock: () => 1234.5 });
	log.write(stepDone(300));
	log.write({ type: "warning", code: "X", message: "not a number" });
	log.write({ type: "evaluation-done", step: 300, loss: 2, perplexity: Math.exp(2) });
	log.close();
	const [version, ...rest] = await recordsOf(
		join(directory, tensorboardFolder, "events.out.tfevents.0000000000.attune"),
	);
	expect(fieldsOf(version as Uint8Array)).toEqual([
		[1, 1234.5],
		[3, new Uint8Array(Buffer.from("brain.Event:2"))],
	]);
	const read = rest.map((data) => {
		const fields = new Map(fieldsOf(data));
		const values = fieldsOf(fields.get(5) as Uint8Array).map(([, value]) => new Map(fieldsOf(value as Uint8Array)));
		const named = values.map((one) => [Buffer.from(one.get(1) as Uint8Array).toString(), one.get(2)]);
		return { time: fields.get(1), step: fields.get(2), values: Object.fromEntries(named) };
	});
	expect(read.map(({ step }) => step)).toEqual([299n, 300n, 300n]);
	expect(read[1]?.values).toMatchObject({ "training/loss": 2.5, "training/gradient_norm": 0.75 });
	expect(read[1]?.values["training/learning_rate"]).toBeCloseTo(1e-4, 10);
	expect(read[2]?.values["validation/loss"]).toBe(2);
});
