import fc from "fast-check";
import { expect, test } from "vitest";
import { collect, textFile } from "./testing/text.ts";
import { openText, readHead } from "./text-source.ts";

const readAll = async (file: string) => (await collect((await openText(file)).chunks)).join("");

test("a character or a CRLF on the border of two chunks is read whole", async () => {
	for (const shift of [0, 1, 2, 3]) {
		// Chunks are 256 KiB: the border falls on every byte of the four of an emoji, and between CR and LF.
		const text = `${"x".repeat((1 << 18) - shift)}🙂${"y".repeat((1 << 18) - 4 + shift - 1)}\r\nend\r`;
		expect((await readAll(textFile(text))) === text.replaceAll("\r\n", "\n")).toBe(true);
	}
});

test("the byte that is not UTF-8 is named by offset and line, wherever it is", async () => {
	await fc.assert(
		fc.asyncProperty(
			fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }),
			fc.nat(300_000),
			fc.constantFrom([0xff], [0xc3, 0x28], [0xe4, 0xbd], [0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]),
			async (text, padding, invalid) => {
				const before = Buffer.from(`${"\n".repeat(padding)}${text}`);
				const file = textFile(Buffer.concat([before, Buffer.from(invalid)]));
				const line = before.toString("utf8").split("\n").length;
				await expect(readAll(file)).rejects.toMatchObject({
					code: "NOT_UTF8",
					where: `${file}:${line}, byte offset ${before.length}`,
				});
			},
		),
		{ numRuns: 25, seed: 1 },
	);
});

test("UTF-16 and GB18030 get the command that mends them", async () => {
	const utf16 = textFile(Buffer.from("\uFEFF{}", "utf16le"));
	await expect(readHead(utf16)).rejects.toMatchObject({ code: "NOT_UTF8", hint: expect.stringContaining("UTF-16LE") });
	const gbk = textFile(Buffer.from([0xc4, 0xe3, 0xba, 0xc3]));
	await expect(readHead(gbk)).rejects.toMatchObject({ code: "NOT_UTF8", hint: expect.stringContaining("GB18030") });
});

test("the head ends before a character that it would cut", async () => {
	const { head, complete } = await readHead(textFile("你好吗"), 7);
	expect({ head, complete }).toEqual({ head: "你好", complete: false });
});
