// Safetensors against the reference's own test files, files written by Python, mutations, and files beyond 4 GB.
import { mkdtemp, open, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../util/errors.ts";
import { openSafetensors, type TensorArray } from "./safetensors.ts";
import { formatHeader, parseHeader } from "./safetensors-header.ts";
import { streamSafetensors, type TensorEntry, writeSafetensors } from "./safetensors-write.ts";

const fixtures = join(import.meta.dirname, "fixtures");
let directory: string;
beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), "attune-safetensors-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const codeOf = (error: unknown) => (error instanceof UserError ? error.code : error);

/** A file with this header (an object, or the text of one) and this many bytes of data. */
async function fileWith(header: unknown, dataBytes = 0): Promise<string> {
	const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
	const length = Buffer.alloc(8);
	length.writeBigUInt64LE(BigInt(json.length));
	const path = join(directory, "made.safetensors");
	await writeFile(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
	return path;
}

async function readAll(path: string): Promise<Map<string, TensorArray>> {
	const file = await openSafetensors(path);
	try {
		const all = new Map<string, TensorArray>();
		for (const name of file.tensors.keys()) all.set(name, await file.read(name, { allowNonFinite: true }));
		return all;
	} finally {
		await file.close();
	}
}

describe("the reference's malformed and valid files", async () => {
	const codes: Record<string, string> = {
		MetadataIncompleteBuffer: "SAFETENSORS_FILE_SIZE",
		HeaderTooLarge: "SAFETENSORS_HEADER_TOO_LARGE",
		HeaderTooSmall: "SAFETENSORS_HEADER_TOO_SMALL",
		InvalidHeaderLength: "SAFETENSORS_HEADER_LENGTH",
		InvalidHeader: "SAFETENSORS_HEADER_NOT_UTF8",
		InvalidHeaderDeserialization: "SAFETENSORS_HEADER_NOT_JSON",
		TensorInvalidInfo: "SAFETENSORS_TENSOR_INVALID",
		ValidationOverflow: "SAFETENSORS_OVERFLOW",
		InvalidOffset: "SAFETENSORS_OFFSETS",
	};
	const folder = join(fixtures, "safetensors-malformed");
	const cases: { file: string; expect: string }[] = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));

	test("are sixteen", () => expect(cases).toHaveLength(16));
	test.each(cases)("$file: $expect", async ({ file, expect: outcome }) => {
		const result = readAll(join(folder, file));
		if (outcome === "ok") await expect(result).resolves.toBeInstanceOf(Map);
		else
			await expect(result).rejects.toMatchObject({
				name: "UserError",
				code: codes[outcome],
				where: join(folder, file),
			});
	});
});

describe("a header that is wrong", () => {
	const entry = { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] };
	const cases: [title: string, header: unknown, dataBytes: number, code: string, says: RegExp][] = [
		["a list", [], 0, "HEADER_INVALID", /not an object/],
		["a byte order mark", "\uFEFF{}", 0, "HEADER_NOT_JSON", /not JSON/],
		["an unknown dtype", { a: { ...entry, dtype: "F31" } }, 24, "HEADER_INVALID", /"a": unknown dtype "F31"/],
		["a dtype of the prototype", { a: { ...entry, dtype: "toString" } }, 24, "HEADER_INVALID", /unknown dtype/],
		["a negative size", { a: { ...entry, shape: [-1, 3] } }, 24, "HEADER_INVALID", /"a": shape\[0\].*-1/],
		["half a size", { a: { ...entry, shape: [1.5, 4] } }, 24, "HEADER_INVALID", /shape\[0\]/],
		["a size as text", { a: { ...entry, shape: ["2", 3] } }, 24, "HEADER_INVALID", /shape\[0\]/],
		["no shape", { a: { dtype: "F32", data_offsets: [0, 24] } }, 24, "HEADER_INVALID", /"a": shape must be a list/],
		["one offset", { a: { ...entry, data_offsets: [0] } }, 24, "HEADER_INVALID", /data_offsets must be two/],
		["offsets backwards", { a: { ...entry, data_offsets: [24, 0] } }, 24, "TENSOR_INVALID", /span -24/],
		["a tensor that is a number", { a: 5 }, 24, "HEADER_INVALID", /"a": its entry is 5/],
		["metadata that is a number", { __metadata__: { step: 5 }, a: entry }, 24, "HEADER_INVALID", /"step"/],
		["a hole", { a: entry, b: { ...entry, data_offsets: [28, 52] } }, 52, "OFFSETS", /"b" leaves a hole.*"a"/],
		["a hole at the start", { a: { ...entry, data_offsets: [4, 28] } }, 28, "OFFSETS", /"a" leaves a hole/],
		["an overlap", { a: entry, b: { ...entry, data_offsets: [20, 44] } }, 44, "OFFSETS", /"b" overlaps/],
		[
			"a name twice",
			`{"a":${JSON.stringify(entry)},"\\u0061":${JSON.stringify(entry)}}`,
			24,
			"HEADER_INVALID",
			/"a" twice/,
		],
		[
			"a field twice",
			'{"a":{"dtype":"F32","dtype":"U8","shape":[],"data_offsets":[0,1]}}',
			1,
			"HEADER_INVALID",
			/"dtype" twice/,
		],
		["a product beyond 2^53", { a: { ...entry, shape: [2 ** 30, 2 ** 30] } }, 24, "OVERFLOW", /"a"/],
		["half a byte", { a: { dtype: "F4", shape: [3], data_offsets: [0, 1] } }, 1, "TENSOR_INVALID", /"a"/],
		["data cut off", { a: entry }, 23, "FILE_SIZE", /"a" ends.*cut off/],
	];
	test.each(cases)("%s", async (_, header, dataBytes, code, says) => {
		const error = await openSafetensors(await fileWith(header, dataBytes)).catch((thrown: unknown) => thrown);
		expect(codeOf(error)).toBe(`SAFETENSORS_${code}`);
		expect((error as Error).message).toMatch(says);
	});

	test("names with quotes, braces and colons are no obstacle", async () => {
		const names = ['a":{"b', "__proto__", "\\", "ключ", "1", ""];
		const header = Object.fromEntries(names.map((name) => [name, { dtype: "F32", shape: [0], data_offsets: [0, 0] }]));
		Object.defineProperty(header, "__proto__", { value: header[""], enumerable: true });
		const file = await openSafetensors(await fileWith(header));
		expect([...file.tensors.keys()].sort()).toEqual([...names].sort());
		await file.close();
	});
});

describe("what Python wrote", () => {
	test("reads equal", async () => {
		const expected: Record<string, { dtype: string; shape: number[]; values: (number | string)[] }> = JSON.parse(
			await readFile(join(fixtures, "python.json"), "utf8"),
		);
		const file = await openSafetensors(join(fixtures, "python.safetensors"));
		expect(file.metadata).toEqual({ format: "pt" });
		expect([...file.tensors.keys()].sort()).toEqual(Object.keys(expected).sort());
		for (const [name, { dtype, shape, values }] of Object.entries(expected)) {
			expect(file.tensors.get(name)).toMatchObject({ dtype, shape });
			const array = await file.read(name, { allowNonFinite: true });
			expect(
				Array.from(array as ArrayLike<number | bigint>, (value) => `${Object.is(value, -0) ? "-0" : value}`),
			).toEqual(values.map((value) => `${value}`));
		}
		await file.close();
	});

	test("is, byte for byte, what we write", async () => {
		const path = join(directory, "ours.safetensors");
		const source = await openSafetensors(join(fixtures, "python.safetensors"));
		const entries: TensorEntry[] = [];
		for (const [name, { dtype, shape }] of source.tensors) {
			const data = await source.read(name, { allowNonFinite: true });
			// Rounding refuses what is not finite: those tensors go back as their bits.
			const finite = !(data instanceof Float32Array) || data.every(Number.isFinite);
			if (finite) entries.push({ name, shape, data, as: dtype });
			else {
				const bits = dtype === "F32" ? data : new Uint16Array(data.length);
				await source.readInto(name, bits, { allowNonFinite: true });
				entries.push({ name, shape, data: bits, as: dtype });
			}
		}
		await source.close();
		await writeSafetensors(path, entries.reverse());
		expect((await readFile(path)).equals(await readFile(join(fixtures, "python.safetensors")))).toBe(true);
	});
});

describe("reading", () => {
	const numbers = new Float32Array([1, -2, 0.5, 1024, -0.25, 3]);

	test("refuses a number that is not finite, by tensor and place, unless told otherwise", async () => {
		for (const dtype of ["F32", "F16", "BF16"] as const) {
			for (const [bad, half, brain] of [
				[Number.NaN, 0x7e00, 0x7fc0],
				[Number.POSITIVE_INFINITY, 0x7c00, 0x7f80],
				[Number.NEGATIVE_INFINITY, 0xfc00, 0xff80],
			] as const) {
				const data =
					dtype === "F32"
						? new Float32Array([1, 2, 3, bad])
						: new Uint16Array([0, 0, 0, dtype === "F16" ? half : brain]);
				const path = join(directory, "bad.safetensors");
				await writeSafetensors(path, [{ name: "h.0.bias", shape: [2, 2], data, as: dtype }]);
				const file = await openSafetensors(path);
				await expect(file.read("h.0.bias")).rejects.toMatchObject({
					code: "TENSOR_NOT_FINITE",
					message: `Tensor h.0.bias holds ${bad} at [1, 1].`,
				});
				expect(((await file.read("h.0.bias", { allowNonFinite: true })) as Float32Array)[3]).toBe(bad);
				await file.close();
			}
		}
	});

	test("F64 narrows into a Float32Array when asked to, and other types do not", async () => {
		const path = join(directory, "wide.safetensors");
		await writeSafetensors(path, [
			{ name: "wide", shape: [6], data: new Float64Array(numbers) },
			{ name: "ids", shape: [2], data: new Int32Array([7, -7]) },
		]);
		const file = await openSafetensors(path);
		const target = new Float32Array(6);
		await file.readInto("wide", target);
		expect(target).toEqual(numbers);
		await expect(file.readInto("ids", new Float32Array(2))).rejects.toMatchObject({
			code: "TENSOR_DTYPE",
			found: "I32",
		});
		await expect(file.readInto("wide", new Float32Array(5))).rejects.toMatchObject({ code: "TENSOR_SHAPE" });
		await expect(file.read("wid")).rejects.toMatchObject({
			code: "TENSOR_MISSING",
			message: "There is no tensor wid; there is wide.",
		});
		await file.close();
	});

	test("tensors of many pieces, unaligned targets, and reads that overlap in time", async () => {
		const length = 3_000_001;
		const data = Float32Array.from({ length }, (_, i) => (i % 2048) / 8 - 128);
		const path = join(directory, "large.safetensors");
		await writeSafetensors(path, [
			{ name: "f32", shape: [length], data },
			{ name: "f16", shape: [length], data, as: "F16" },
			{ name: "bf16", shape: [length], data: data.map((x) => Math.trunc(x / 8)), as: "BF16" },
		]);
		const file = await openSafetensors(path);
		const whole = new Float32Array(length + 1);
		const [, f16, bf16] = await Promise.all([
			file.readInto("f32", whole.subarray(1)),
			file.read("f16"),
			file.read("bf16"),
		]);
		expect(Buffer.from(whole.buffer, 4).equals(Buffer.from(data.buffer))).toBe(true);
		const sameBytes = (a: unknown, b: Float32Array) =>
			Buffer.from((a as Float32Array).buffer).equals(Buffer.from(b.buffer));
		expect(sameBytes(f16, data)).toBe(true);
		expect(
			sameBytes(
				bf16,
				data.map((x) => Math.trunc(x / 8)),
			),
		).toBe(true);
		await file.close();
	});

	test("a file of 5 GB with holes on disk, for which no memory is taken", async () => {
		const path = join(directory, "huge.safetensors");
		const half = 2_500_000_000;
		const header = formatHeader([
			{ name: "first", dtype: "U8", shape: [half] },
			{ name: "second", dtype: "U8", shape: [half] },
			{ name: "third", dtype: "U8", shape: [4] },
		]);
		await writeFile(path, header);
		await truncate(path, header.length + 2 * half + 4);
		const handle = await open(path, "r+");
		await handle.write(Buffer.from([1, 2, 3, 4]), 0, 4, header.length + 2 * half);
		await handle.close();
		const file = await openSafetensors(path);
		expect([...((await file.read("third")) as Uint8Array)]).toEqual([1, 2, 3, 4]);
		await file.close();
		await rm(path);
	});

	test("what is no file: missing, a directory, shortened while it is read", async () => {
		await expect(openSafetensors(join(directory, "none"))).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
		await expect(openSafetensors(directory)).rejects.toMatchObject({ code: "SAFETENSORS_NOT_A_FILE" });
		const path = join(directory, "shortened.safetensors");
		await writeSafetensors(path, [{ name: "a", shape: [6], data: numbers }]);
		const file = await openSafetensors(path);
		await truncate(path, 90);
		await expect(file.read("a")).rejects.toMatchObject({ code: "SAFETENSORS_FILE_SIZE" });
		await file.close();
	});

	test("pickles are known by their first bytes, whatever their name", async () => {
		const starts = [
			[0x50, 0x4b, 3, 4, 0, 0, 8, 8],
			[0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9],
		];
		for (const start of starts) {
			const path = join(directory, "model.safetensors");
			await writeFile(path, Buffer.from([...start, ...new Array(80).fill(0)]));
			await expect(openSafetensors(path)).rejects.toMatchObject({ code: "MODEL_IS_PICKLE" });
		}
		// 640 bytes of header start like a pickle of protocol 2.
		await (await openSafetensors(await fileWith(`{}${" ".repeat(638)}`))).close();
	});
});

describe("writing", () => {
	test("the order of the entries does not matter", async () => {
		const entries: TensorEntry[] = [
			{ name: "b", shape: [2], data: new Float32Array([1, 2]) },
			{ name: "a", shape: [2], data: new Float32Array([3, 4]) },
			{ name: "z", shape: [1], data: new BigInt64Array([5n]) },
			{ name: "half", shape: [1], data: new Float32Array([5]), as: "F16" },
		];
		const paths = [join(directory, "one.safetensors"), join(directory, "two.safetensors")] as const;
		await writeSafetensors(paths[0], entries);
		await writeSafetensors(paths[1], entries.toReversed());
		expect((await readFile(paths[0])).equals(await readFile(paths[1]))).toBe(true);
		expect([...(await readAll(paths[0])).keys()]).toEqual(["z", "a", "b", "half"]);
	});

	test("our own mistakes are errors with a stack, not user errors", async () => {
		const data = new Float32Array(2);
		const wrong: TensorEntry[][] = [
			[{ name: "a", shape: [3], data }],
			[{ name: "a", shape: [2], data, as: "I32" }],
			[{ name: "__metadata__", shape: [2], data }],
			[
				{ name: "a", shape: [2], data },
				{ name: "a", shape: [2], data },
			],
		];
		for (const entries of wrong) {
			const error = await writeSafetensors(join(directory, "wrong.safetensors"), entries).catch(
				(thrown: unknown) => thrown,
			);
			expect(error).toBeInstanceOf(Error);
			expect(error).not.toBeInstanceOf(UserError);
		}
	});

	test("a number that F16 cannot hold is refused by name, and the old file stays", async () => {
		const path = join(directory, "kept.safetensors");
		await writeSafetensors(path, [{ name: "a", shape: [1], data: new Float32Array([1]) }]);
		const before = await readFile(path);
		const data = new Float32Array([1, 70_000]);
		await expect(writeSafetensors(path, [{ name: "a", shape: [2], data, as: "F16" }])).rejects.toMatchObject({
			code: "TENSOR_NOT_FINITE",
			message: "Tensor a holds 70000, which F16 cannot hold.",
		});
		await expect(
			writeSafetensors(path, [{ name: "a", shape: [2], data }], { signal: AbortSignal.abort() }),
		).rejects.toThrow();
		expect((await readFile(path)).equals(before)).toBe(true);
		expect((await readdir(directory)).filter((name) => name.endsWith(".partial"))).toEqual([]);
	});

	test.runIf(process.platform === "linux")("a full disk", async () => {
		// /dev/full takes no byte; streamed through the same code as a file on a full disk.
		const full = await open("/dev/full", "w");
		const entries = [{ name: "a", shape: [2], data: new Float32Array(2) }];
		await expect(streamSafetensors(full, entries)).rejects.toMatchObject({ code: "ENOSPC" });
		await full.close();
	});

	test("a link in the place of the file is replaced, not followed", async () => {
		const target = join(directory, "target");
		await writeFile(target, "precious");
		const path = join(directory, "link.safetensors");
		await symlink(target, path);
		await writeSafetensors(path, []);
		expect(await readFile(target, "utf8")).toBe("precious");
		expect((await readAll(path)).size).toBe(0);
	});
});

describe("mutations", () => {
	const seed = 20240607;

	test("a changed file reads, or is a user error; nothing else", async () => {
		const path = join(directory, "mutated.safetensors");
		await writeSafetensors(path, [
			{ name: "wte.weight", shape: [4, 3], data: new Float32Array(12).fill(0.5), as: "F16" },
			{ name: "wpe.weight", shape: [2, 3], data: new Float32Array(6).fill(2) },
			{ name: "mask", shape: [5], data: new Uint8Array(5), as: "BOOL" },
			{ name: "step", shape: [], data: new BigInt64Array([3n]) },
		]);
		const original = await readFile(path);
		const outcomes = new Map<unknown, number>();
		const bytes = fc.oneof(
			fc.uint8Array({ minLength: 1, maxLength: 9 }),
			fc
				.constantFrom('"', "{", "}", "[", "]", ",", ":", "-", "9", "0", "e", "\\", " ", "null", '"a":')
				.map(Buffer.from),
		);
		// A third of the edits keep the length and many lie in the data: the header's length still fits, and deeper
		// checks are reached.
		const edit = fc.record({
			at: fc.oneof(fc.nat(original.length - 1), fc.integer({ min: original.length - 60, max: original.length - 10 })),
			bytes,
			cut: fc.option(fc.nat(9), { freq: 2 }),
		});
		await fc.assert(
			fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
				let bytes = original;
				for (const { at, bytes: inserted, cut } of edits) {
					bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + (cut ?? inserted.length))]);
				}
				await writeFile(path, bytes);
				const outcome = await readAll(path).then(() => "read", codeOf);
				outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
				expect(outcome).toMatch(/^(read|SAFETENSORS_|MODEL_IS_PICKLE)/);
			}),
			{ seed, numRuns: 1000 },
		);
		// Only worth something when both happen, and the errors are of many kinds.
		expect(outcomes.get("read")).toBeGreaterThan(20);
		expect(outcomes.size).toBeGreaterThan(6);
	});

	test("any header object: what is accepted lies inside the file, end to end", () => {
		const size = fc.oneof(fc.nat(8), fc.integer(), fc.constantFrom(2 ** 31, 2 ** 53, 1e300, -1, 0.5));
		const tensor = fc.record(
			{
				dtype: fc.constantFrom("F32", "F16", "U8", "F4", "I64", "x"),
				shape: fc.array(size, { maxLength: 3 }),
				data_offsets: fc.array(size, { minLength: 1, maxLength: 3 }),
			},
			{ requiredKeys: ["dtype"] },
		);
		fc.assert(
			fc.property(
				fc.dictionary(fc.string(), fc.oneof(tensor, fc.jsonValue()), { maxKeys: 3 }),
				fc.nat(64),
				(header, extra) => {
					const json = Buffer.from(JSON.stringify(header));
					const fileBytes = 8 + json.length + extra;
					try {
						let end = 8 + json.length;
						for (const { offset, bytes } of parseHeader(json, { fileBytes, path: "x" }).tensors.values()) {
							expect(offset).toBe(end);
							end += bytes;
						}
						expect(end).toBe(fileBytes);
					} catch (error) {
						if (!(error instanceof UserError)) throw error;
					}
				},
			),
			{ seed, numRuns: 2000 },
		);
	});

	test("anything that can be written reads back", async () => {
		const path = join(directory, "any.safetensors");
		const entry = fc.record({
			name: fc.string({ unit: "binary" }).filter((name) => name !== "__metadata__" && !/\p{Surrogate}/u.test(name)),
			shape: fc.array(fc.nat(4), { maxLength: 4 }),
			as: fc.constantFrom("F32", "F16", "BF16"),
			fill: fc.integer({ min: -100, max: 100 }),
		});
		await fc.assert(
			fc.asyncProperty(fc.uniqueArray(entry, { selector: ({ name }) => name, maxLength: 6 }), async (tensors) => {
				const entries = tensors.map(({ name, shape, as, fill }) => {
					return {
						name,
						shape,
						as,
						data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill),
					} as TensorEntry;
				});
				// Without the syncs of a real save, of which a loaded disk does few a second.
				const file = await open(path, "w");
				await streamSafetensors(file, entries).finally(() => file.close());
				const back = await readAll(path);
				expect(back.size).toBe(entries.length);
				for (const { name, data } of entries) expect(back.get(name)).toEqual(data);
			}),
			{ seed, numRuns: 100 },
		);
	});
});
