// The port to what is outside the cluster: servers that answer over HTTP, and programs of the machine that proxyctl runs on.

export interface OutsideRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Where the bearer token is. */
  readonly tokenEnv?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly caFile?: string | undefined;
  /** For the whole answer. */
  readonly seconds: number;
}

export interface OutsideAnswer {
  readonly status: number;
  readonly body: string;
}

export interface OutsideCommand {
  /** Program and arguments; no shell reads them. */
  readonly argv: readonly string[];
  /** On top of this process's own. */
  readonly env: Readonly<Record<string, string>>;
  /** Its standard input. */
  readonly input: string;
  readonly seconds: number;
}

export interface CommandEnd {
  /** Null when a signal ended it, a time limit included. */
  readonly code: number | null;
  readonly timedOut: boolean;
  /** The last of what it wrote, both streams together. Untrusted text. */
  readonly output: string;
}

/** Errors say in words why nothing could be asked, and hold no secret. */
export interface Outside {
  /** Rejects when no answer came. Redirections are answers; none is followed. */
  ask(request: OutsideRequest): Promise<OutsideAnswer>;
  /** Rejects when the program could not be started. */
  run(command: OutsideCommand): Promise<CommandEnd>;
}
