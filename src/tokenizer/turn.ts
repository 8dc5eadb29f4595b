// A turn of a conversation: who speaks, and what is said. The one definition that data, templates and serving share.

export const roles = ["system", "user", "assistant", "tool"] as const;

export type Role = (typeof roles)[number];

export interface Turn {
	role: Role;
	content: string;
}
