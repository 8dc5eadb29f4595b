// Pickle files (pytorch_model.bin, *.pt, *.pth) are programs: opening one runs whatever its author put in. They are
// recognised by name and by their first bytes, never parsed, and refused with the way to convert them.
import { basename } from "node:path";
import { UserError } from "../util/errors.ts";

/** True for the names PyTorch's pickles usually have. */
export function isPickleName(path: string): boolean {
	return /\.(bin|pt|pth|ckpt|pkl|pickle)$/i.test(path);
}

/** True when a file's first bytes are those of a pickle or of PyTorch's zip archive. */
export function isPickleStart(start: Uint8Array): boolean {
	const [a, b, c, d] = start;
	const zip = a === 0x50 && b === 0x4b && c === 0x03 && d === 0x04;
	const pickle = a === 0x80 && b !== undefined && b >= 2 && b <= 5;
	// A safetensors header of 640 bytes starts with 80 02 as well, but its length has zeros in bytes 4 to 7.
	return (zip || pickle) && start.subarray(4, 8).some((byte) => byte !== 0);
}

export function pickleError(path: string): UserError {
	return new UserError(
		"MODEL_IS_PICKLE",
		`${basename(path)} is a pickle file, and attune opens none: it could run any program.`,
		{
			where: path,
			expected: "model.safetensors",
			hint:
				"Convert to safetensors, in Python: from transformers import AutoModelForCausalLM; " +
				'AutoModelForCausalLM.from_pretrained("DIR").save_pretrained("DIR", safe_serialization=True). ' +
				"Many models on the Hugging Face hub have a model.safetensors already.",
		},
	);
}
