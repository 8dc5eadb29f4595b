// The interpreter's rows for the two large fused operators of generation.

import { at, build, type Nd } from "./array.ts";
import type { Kernel } from "./kernel.ts";

/** A times the transpose of a weight held in blocks: (quantized - zero point) * scale, zero point 2^(bits-1) unless given. */
export const matMulNBits: Kernel = ([a, blocks, scales, zeroPoints], settings) => {
	const [inner, columns] = [settings.number("K"), settings.number("N")];
	const bits = settings.number("bits", 4);
	const blockSize = settings.number("block_size");
	const blockCount = Math.ceil(inner / blockSize);
	// Values of `bits` bits in bytes, the lowest bits first.
	const unpack = (packed: Nd, { start, i }: { start: number; i: number }) => {
		const perByte = 8 / bits;
		const byte = packed.data[start + Math.floor(i / perByte)] as number;
		return (byte >> (bits * (i % perByte))) & (2 ** bits - 1);
	};
	const blockBytes = (blockSize * bits) / 8;
	const zeroBytes = Math.ceil((blockCount * bits) / 8);
	const weight = (n: number, k: number) => {
		const block = Math.floor(k / blockSize);
		const quantized = unpack(blocks as Nd, { start: (n * blockCount + block) * blockBytes, i: k % blockSize });
		const zero = zeroPoints ? unpack(zeroPoints, { start: n * zeroBytes, i: block }) : 2 ** (bits - 1);
		return (quantized - zero) * ((scales as Nd).data[n * blockCount + block] as number);
	};
	return build([...(a as Nd).shape.slice(0, -1), columns], (index) => {
		let total = 0;
		for (let k = 0; k < inner; k++) total += at(a as Nd, index.with(-1, k)) * weight(index.at(-1) as number, k);
		return total;
	});
};

/**
 * Causal attention of T new positions over a cache, whose rows before them are filled. Sequence b ends at position
 * seqlens_k[b]; when nothing comes before (T = total_sequence_length) what follows its end is padding.
 */
export const groupQueryAttention: Kernel = ([query, , , pastKey, pastValue, seqlens, total], settings) => {
	const packed = query as Nd;
	const [batch, time] = packed.shape as [number, number];
	const heads = settings.number("num_heads");
	const groups = settings.number("kv_num_heads");
	const size = (pastKey as Nd).shape[3] as number;
	const scale = settings.number("scale", 1 / Math.sqrt(size));
	const prompt = time === (total as Nd).data[0];
	const start = (b: number) => (prompt ? 0 : ((seqlens as Nd).data[b] as number) + 1 - time);
	/** The head `head` of the packed projection at the new position t. */
	const projected = (b: number, t: number, head: number, d: number) => at(packed, [b, t, head * size + d]);
	const present = (past: Nd, firstHead: number) =>
		build(past.shape, (index) => {
			const [b, group, position, d] = index as [number, number, number, number];
			const t = position - start(b);
			return t >= 0 && t < time ? projected(b, t, firstHead + group, d) : at(past, index);
		});
	const key = present(pastKey as Nd, heads);
	const value = present(pastValue as Nd, heads + groups);
	const mixed = build([batch, time, heads * size], (index) => {
		const [b, t, channel] = index as [number, number, number];
		const head = Math.floor(channel / size);
		const group = Math.floor(head / (heads / groups));
		const scores = Array.from({ length: start(b) + t + 1 }, (_, s) => {
			let score = 0;
			for (let d = 0; d < size; d++) score += projected(b, t, head, d) * at(key, [b, group, s, d]);
			return Math.exp(score * scale);
		});
		const norm = scores.reduce((x, y) => x + y, 0);
		return scores.reduce((x, score, s) => x + (score / norm) * at(value, [b, group, s, channel % size]), 0);
	});
	return [mixed, key, value];
};
