// The contract of study storage: an append-only list of records that several workers share, and leases on the trials
// they are running. Conformance suite: testing/storage-suite.ts.
import type { StudyRecord } from "../records.ts";

/** Where a study is kept. One object serves one worker; two objects on the same place serve two. */
export interface StudyStorage {
	/**
	 * Runs `body` while no other worker is inside `exclusive`. `body` is synchronous and short: it reads what is new,
	 * decides, appends. Waits for its turn; a worker that was killed inside does not keep the others out.
	 * What was appended before `body` throws stays appended.
	 */
	exclusive<T>(body: (transaction: StorageTransaction) => T): Promise<T>;
	/** The records from number `from` (counted from 0) on, without waiting for a turn. Never a record half written. */
	read(from: number): readonly unknown[];
	/** Gives up every lease of this worker. The storage is not used afterwards. */
	close(): Promise<void>;
}

/** Valid inside one call of `exclusive` only. */
export interface StorageTransaction {
	/** The records from number `from` on. They may come from a damaged file: the reader checks them. */
	read(from: number): readonly unknown[];
	/** Adds one record. When it returns, the record survives a kill; a kill before leaves no trace of it. */
	append(record: StudyRecord): void;
	/** Takes or renews this worker's lease on a trial. A lease ends when released, when its worker dies, or unrenewed. */
	lease(trial: number): void;
	release(trial: number): void;
	/** Trials leased by a worker that is alive, this one included. */
	leased(): ReadonlySet<number>;
}
