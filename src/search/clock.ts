// The clock of a study. It is passed in, so that tests and replays can turn it by hand.

/** Milliseconds since the epoch. */
export type Clock = () => number;

/** The machine's clock: the only place of this library that looks at it. */
export const systemClock: Clock = () => Date.now();
