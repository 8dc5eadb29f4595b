// Study storage in memory: gone with the process. Two storages made over the same `shared` are two workers on one study.
import type { StudyRecord } from "../records.ts";
import type { StudyStorage } from "./storage.ts";

export interface SharedMemory {
	readonly records: StudyRecord[];
	/** Trial to the storage object that holds it. */
	readonly leases: Map<number, object>;
}

export function memoryStorage(shared: SharedMemory = { records: [], leases: new Map() }): StudyStorage {
	const owner = {};
	const read = (from: number) => shared.records.slice(from);
	return {
		// `body` is synchronous, so nothing else can run inside it.
		async exclusive(body) {
			return body({
				read,
				append: (record) => void shared.records.push(structuredClone(record)),
				lease: (trial) => void shared.leases.set(trial, owner),
				release: (trial) => void shared.leases.delete(trial),
				leased: () => new Set(shared.leases.keys()),
			});
		},
		read,
		async close() {
			for (const [trial, holder] of shared.leases) if (holder === owner) shared.leases.delete(trial);
		},
	};
}
