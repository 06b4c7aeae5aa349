/** Exit codes, as documented in the README. Node itself uses 1 to 14. */
export const EXIT = {
  done: 0,
  findings: 20,
  halted: 21,
  rolledBack: 22,
  stopped: 23,
  stalePlan: 24,
  runUnderWay: 25,
  usage: 64,
  badFile: 65,
  unreachable: 69,
  internal: 70,
  notPermitted: 77,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** An error with a message for people: one line that says what is wrong, where, and what to do. */
export class ProxyctlError extends Error {
  override readonly name = 'ProxyctlError';
  readonly exitCode: ExitCode;
  constructor(message: string, exitCode: ExitCode, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** What was waited for did not come; the message says what, and why where that was seen. */
export class WaitedInVain extends ProxyctlError {
  constructor(message: string) {
    super(message, EXIT.halted);
  }
}

/** A pod that is waited for will not start; the message says why. */
export class PodWillNotStart extends WaitedInVain {}

/** The API server refused a request: 401, 403, 404 on a write, 409, 422 and so on. `status` is the HTTP status. */
export class ApiError extends ProxyctlError {
  readonly status: number;
  /** The server's machine word for it: Conflict, AlreadyExists, Forbidden, Invalid, Expired ... */
  readonly reason: string;
  /** Of a list that has expired: the token to read its rest with, as it is by then. */
  readonly rest: string | undefined;
  constructor(message: string, status: number, reason: string, options?: ErrorOptions & { rest?: string }) {
    super(message, status === 401 || status === 403 ? EXIT.notPermitted : EXIT.unreachable, options);
    this.status = status;
    this.reason = reason;
    this.rest = options?.rest;
  }
}
