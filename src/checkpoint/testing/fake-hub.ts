// A Hugging Face hub for tests: an HTTP server on this machine with one model, which can break, refuse and lie.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeHub {
	url: string;
	/** What was asked for: "GET /path", with the range where there was one. */
	requests: string[];
	/** Bytes of file contents that were sent. */
	sentBytes: number;
	/** The Authorization header of the last request. */
	authorization: string | undefined;
	/** May be changed between requests. */
	behaviour: Behaviour;
	close(): Promise<void>;
}

export interface Behaviour {
	/** Content by file name. */
	files: Record<string, Buffer>;
	/** Files above this size are said to be stored as LFS, with a SHA-256. */
	lfsAbove?: number;
	/** The connection breaks after this many bytes of a file, so many times. */
	breakAfter?: { bytes: number; times: number };
	/** Every answer to paths that match. */
	refuse?: { path: RegExp; status: number; code?: string };
	ignoresRange?: boolean;
	/** Entries of the listing that replace the true ones. */
	listing?: Record<string, object>;
	/** Changes what is sent, not what is said about it. */
	corrupt?: boolean;
}

export const fakeCommit = "0123456789abcdef0123456789abcdef01234567";

export async function startFakeHub(behaviour: Behaviour): Promise<FakeHub> {
	const server = createServer((request, response) => answer(hub, request, response));
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const hub: FakeHub = {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		requests: [],
		sentBytes: 0,
		authorization: undefined,
		behaviour,
		close: async () => {
			server.closeAllConnections();
			server.close();
			await once(server, "close");
		},
	};
	return hub;
}

function answer(hub: FakeHub, request: IncomingMessage, response: ServerResponse): void {
	const { files, refuse } = hub.behaviour;
	const path = decodeURIComponent((request.url ?? "").split("?")[0] as string);
	const range = request.headers.range;
	hub.requests.push(`${request.method} ${path}${range === undefined ? "" : ` ${range}`}`);
	hub.authorization = request.headers.authorization;
	if (refuse?.path.test(path)) {
		response.writeHead(refuse.status, refuse.code === undefined ? {} : { "X-Error-Code": refuse.code });
		response.end("no");
		return;
	}
	const json = (value: unknown) =>
		response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
	if (/^\/api\/models\/org\/tiny\/revision\//.test(path)) {
		json({ _id: "1", id: "org/tiny", sha: fakeCommit, private: false, gated: false, downloads: 0, likes: 0 });
	} else if (/^\/api\/models\/org\/tiny\/tree\//.test(path)) {
		json(Object.entries(files).map(([name, content]) => describe(hub.behaviour, name, content)));
	} else {
		const name = /^\/org\/tiny\/resolve\/[0-9a-f]{40}\/(.+)$/.exec(path)?.[1];
		const content = name === undefined ? undefined : files[name];
		if (content === undefined) response.writeHead(404, { "X-Error-Code": "RepoNotFound" }).end();
		else sendFile(hub, { content, range, response });
	}
}

function describe({ lfsAbove = 1000, listing = {} }: Behaviour, name: string, content: Buffer): object {
	const oid = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
	const lfs = {
		oid: createHash("sha256").update(content).digest("hex"),
		size: content.length,
		pointerSize: 130,
	};
	const entry = { type: "file", path: name, size: content.length, oid };
	return listing[name] ?? (content.length > lfsAbove ? { ...entry, oid: "f".repeat(40), lfs } : entry);
}

function sendFile(
	hub: FakeHub,
	{ content, range, response }: { content: Buffer; range: string | undefined; response: ServerResponse },
): void {
	const { breakAfter, ignoresRange = false, corrupt = false } = hub.behaviour;
	const [, first = "0", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
	const isProbe = range === "bytes=0-0";
	const whole = ignoresRange && !isProbe;
	const start = whole ? 0 : Number(first);
	const end = whole || last === "" ? content.length : Number(last) + 1;
	const part = Buffer.from(content.subarray(start, end));
	if (corrupt && !isProbe) part.fill(0x2a);
	response.writeHead(whole || range === undefined ? 200 : 206, {
		ETag: '"x"',
		"Content-Length": part.length,
		"Content-Range": `bytes ${start}-${end - 1}/${content.length}`,
	});
	if (breakAfter !== undefined && breakAfter.times > 0 && part.length > breakAfter.bytes) {
		breakAfter.times--;
		hub.sentBytes += breakAfter.bytes;
		// Give what was written the time to arrive before the connection goes.
		response.write(part.subarray(0, breakAfter.bytes), () => setTimeout(() => response.destroy(), 20));
		return;
	}
	if (!isProbe) hub.sentBytes += part.length;
	response.end(part);
}
