// The probe Service that each pod watcher has: what of it both sides must agree upon. Free of zod: it runs on nodes too.

/** A Service with ClientIP affinity whose endpoints are the two ports of one pod watcher. */
export interface OwnService {
  /** `namespace/name`. */
  readonly name: string;
  /** Its cluster IP. */
  readonly address: string;
}

export const OWN_PORT = 80;
/** Of the pod watcher, in its own network namespace. */
export const ECHO_PORTS: readonly number[] = [10_380, 10_381];
