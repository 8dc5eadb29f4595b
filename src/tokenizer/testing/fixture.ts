// Reading the fixtures of this folder.

import { readFileSync } from "node:fs";
import { join } from "node:path";

export function fixtureText(name: string): string {
	return readFileSync(join(import.meta.dirname, "../fixtures", name), "utf8");
}

export function fixtureCases<Case>(name: string): Case[] {
	return (JSON.parse(fixtureText(name)) as { cases: Case[] }).cases;
}
