// How byte-level vocabularies spell bytes as characters (GPT-2, 2019): printable Latin-1 bytes are themselves, the
// other 68 take U+0100 onwards, so that a space is `Ġ` and no token contains white space.

const printable = (byte: number): boolean =>
	(byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

/** The character that spells each byte. */
export const byteToChar: readonly string[] = (() => {
	let next = 0x100;
	return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

const charToByte = new Map(byteToChar.map((char, byte) => [char, byte]));

/** The 256 characters in the order of their code points, which is the order Hugging Face trainers number them in. */
export const byteAlphabet: readonly string[] = [...byteToChar].sort();

export function spellBytes(bytes: Uint8Array): string {
	let spelled = "";
	for (const byte of bytes) spelled += byteToChar[byte];
	return spelled;
}

/** The bytes a token spells; undefined when a character of it is not in the alphabet. */
export function readBytes(token: string): Uint8Array | undefined {
	const bytes = new Uint8Array(token.length);
	for (let i = 0; i < token.length; i++) {
		const byte = charToByte.get(token[i] as string);
		if (byte === undefined) return undefined;
		bytes[i] = byte;
	}
	return bytes;
}
