// Cuts parameters into pieces that stay in a core's cache between the operators of an update, and binds each piece's
// memory to the update's graph. Several pieces share a run: handing a run to another thread costs as much as a piece.

import { toOnnx } from "../graph/index.ts";
import { type Bound, Session, Tensor } from "../runtime/index.ts";
import type { Moment, Optimizer, Variant } from "./optimizer.ts";
import { buildUpdateGraph } from "./update-graph.ts";

/** What an update reads and writes for one parameter: "parameter", "gradient" and the states, all of one length. */
export interface ParameterMemory {
	readonly tensors: ReadonlyMap<string, Float32Array>;
	readonly learningRateScale: number;
}

export interface BoundUpdates {
	/** They touch different memory: they may run in any order, several at once. */
	readonly runs: readonly Bound[];
	/** Sets the scalars that the runs read. */
	prepare(moment: Moment): void;
	dispose(): void;
}

export interface PieceSizes {
	/** 32 Ki: a piece's tensors and what lies between its operators take 1 MB. Results do not depend on it. */
	pieceElements?: number;
	/** Results do not depend on it. */
	piecesOfRun?: number;
}

/** Binds parameters that share a variant of the optimizer. */
export async function bindUpdates(
	parameters: readonly ParameterMemory[],
	options: { optimizer: Optimizer; variant: Variant } & PieceSizes,
): Promise<BoundUpdates> {
	const { optimizer, variant, pieceElements = 32768, piecesOfRun = 8 } = options;
	const sessions = new Map<number, UpdateSession>();
	const scalarsByScale = new Map<number, Record<string, Tensor>>();
	const runs: Bound[] = [];
	for (const { learningRateScale, pieces } of samePieces(parameters, pieceElements)) {
		let done = 0;
		for (const count of [piecesOfRun, 1]) {
			for (; done + count <= pieces.length; done += count) {
				const update = sessions.get(count) ?? (await updateSession(optimizer, { ...variant, pieces: count }));
				sessions.set(count, update);
				const scalars = scalarsByScale.get(learningRateScale) ?? newScalars(update.scalars);
				scalarsByScale.set(learningRateScale, scalars);
				runs.push(bind(update, { pieces: pieces.slice(done, done + count), scalars }));
			}
		}
	}
	return {
		runs,
		prepare(moment) {
			for (const [scale, scalars] of scalarsByScale) {
				const values = optimizer.scalars({ ...moment, learningRate: moment.learningRate * scale }, variant);
				for (const [name, tensor] of Object.entries(scalars)) tensor.data[0] = values[name] as number;
			}
		},
		dispose() {
			for (const run of runs) run.dispose();
			for (const { session } of sessions.values()) session.dispose();
		},
	};
}

/** A piece of one parameter, by the name of the tensor. */
type Piece = ReadonlyMap<string, Float32Array>;

/** Pieces of equal length and rate, together, in the order of the parameters. */
function samePieces(parameters: readonly ParameterMemory[], pieceElements: number) {
	const groups = new Map<string, { learningRateScale: number; pieces: Piece[] }>();
	for (const { tensors, learningRateScale } of parameters) {
		const length = tensors.get("parameter")?.length as number;
		for (let start = 0; start < length; start += pieceElements) {
			const end = Math.min(length, start + pieceElements);
			const key = `${learningRateScale} ${end - start}`;
			const group = groups.get(key) ?? { learningRateScale, pieces: [] };
			groups.set(key, group);
			group.pieces.push(new Map([...tensors].map(([name, values]) => [name, values.subarray(start, end)])));
		}
	}
	return groups.values();
}

function newScalars(names: readonly string[]): Record<string, Tensor> {
	return Object.fromEntries(names.map((name) => [name, Tensor.from(new Float32Array(1), [])]));
}

interface UpdateSession {
	readonly session: Session;
	readonly scalars: readonly string[];
	readonly inPlace: ReadonlyMap<string, string>;
}

async function updateSession(optimizer: Optimizer, variant: Variant & { pieces: number }): Promise<UpdateSession> {
	const { graph, scalars, inPlace } = buildUpdateGraph(optimizer, variant);
	// One thread a run: parallel are the runs, so that a piece stays in the cache of one core.
	const session = await Session.create(toOnnx(graph), { name: "optimizer", threads: 1 });
	return { session, scalars, inPlace };
}

function bind({ session, inPlace }: UpdateSession, run: { pieces: readonly Piece[]; scalars: Record<string, Tensor> }) {
	const feeds: Record<string, Tensor> = { ...run.scalars };
	for (const [index, piece] of run.pieces.entries()) {
		for (const [name, values] of piece) feeds[`${name}.${index}`] = Tensor.from(values, [values.length]);
	}
	const outputs = Object.fromEntries([...inPlace].map(([output, input]) => [output, feeds[input] as Tensor]));
	return session.bind(feeds, outputs);
}
