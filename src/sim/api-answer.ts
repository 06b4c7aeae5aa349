// Answers of the API.
import { StatusError } from './status.ts';

/** Where the answer goes: what is needed of Node's ServerResponse. */
export interface ApiAnswer {
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, headers: Record<string, string>): unknown;
  flushHeaders(): void;
  write(chunk: string | Uint8Array): boolean;
  end(text?: string): unknown;
  destroy(): unknown;
  on(event: 'close', listener: () => void): unknown;
}

export function sendJson(response: ApiAnswer, code: number, body: object, share = 1): void {
  const text = JSON.stringify(body);
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(text.slice(0, Math.ceil(text.length * share)));
}

export function sendText(response: ApiAnswer, text: string): void {
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.end(text);
}

/** Answers with the Status of an error. */
export function refuse(response: ApiAnswer, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  const known =
    error instanceof StatusError
      ? error
      : new StatusError(500, 'InternalError', `Internal error occurred: ${String(error)}`);
  sendJson(response, known.code, known.body);
}
