// Text with lone surrogates replaced by U+FFFD, which is what UTF-8 makes of them. Node has String.prototype.toWellFormed
// since version 20; TypeScript's ES2023 library does not know it yet.

export function wellFormed(text: string): string {
	return (text as unknown as { toWellFormed(): string }).toWellFormed();
}
