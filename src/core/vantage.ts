// What the watcher needs of observations besides their types: it starts on slow nodes and does without zod.

/** Version of the lines that watchers print. */
export const OBSERVATION_VERSION = 1;

/** Where a watcher looks from: the node's host network, or the pod network as a client does. */
export const VANTAGES = ['host', 'pod'] as const;
export type Vantage = (typeof VANTAGES)[number];
