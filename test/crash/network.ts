// The way from a simulated process to the API of the embedded cluster: requests and answers as the shipped client makes and reads
// them, without sockets, so that nothing real has to be waited for.
import { Agent, type Dispatcher } from 'undici';
import type { ApiAnswer } from '../../src/sim/api-answer.ts';
import type { ApiCall } from '../../src/sim/api-request.ts';
import type { Random } from '../../src/sim/random.ts';
import type { Sim } from '../../src/sim/sim.ts';
import { Killed, SimProcess } from './sim-process.ts';
import { owner } from './virtual-time.ts';

type Headers = Record<string, string>;

/** One answer on its way back: pieces of text, then an end or a break. */
class Answer implements ApiAnswer {
  headersSent = false;
  destroyed = false;
  readonly head = Promise.withResolvers<{ status: number; headers: Headers }>();
  private readonly headers: Headers = {};
  private readonly pieces: string[] = [];
  private over: 'open' | 'ended' | 'broken' = 'open';
  private wake: (() => void) | undefined;
  private readonly closing: (() => void)[] = [];
  private heardAt = 0;

  setHeader(name: string, value: string): void {
    this.headers[name] = value;
  }

  writeHead(status: number, headers: Headers): void {
    this.headersSent = true;
    this.head.resolve({ status, headers: { ...this.headers, ...headers } });
  }

  flushHeaders(): void {}

  write(chunk: string | Uint8Array): boolean {
    if (this.over !== 'open') return false;
    this.heardAt = performance.now();
    this.pieces.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    this.wake?.();
    return true;
  }

  end(text = ''): void {
    if (text !== '') this.write(text);
    this.close('ended');
  }

  destroy(): void {
    this.destroyed = true;
    this.head.reject(broken());
    this.close('broken');
  }

  on(_event: 'close', listener: () => void): void {
    this.closing.push(listener);
  }

  private close(how: 'ended' | 'broken'): void {
    if (this.over !== 'open') return;
    this.over = how;
    this.wake?.();
    for (const listener of this.closing) listener();
  }

  /** It breaks when nothing is heard for so long, ms, as by undici's bodyTimeout. */
  hearFrom(ms: number): void {
    this.heardAt = performance.now();
    this.breakWhenSilent(ms);
  }

  private breakWhenSilent(ms: number): void {
    const left = this.heardAt + ms - performance.now();
    if (this.over !== 'open') return;
    if (left <= 0) this.close('broken');
    else setTimeout(() => this.breakWhenSilent(ms), left);
  }

  async *read(): AsyncGenerator<string> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) yield piece;
      else if (this.over === 'ended') return;
      else if (this.over === 'broken') throw broken();
      else
        await new Promise<void>(resolve => {
          this.wake = resolve;
        });
    }
  }

  async text(): Promise<string> {
    let text = '';
    for await (const piece of this.read()) text += piece;
    return text;
  }
}

function broken(): Error {
  return Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
}

/** Never resolves: whoever waits is dead. */
const never = new Promise<never>(() => {});

export interface NetworkOptions {
  readonly sim: () => Sim;
  /** Milliseconds for one way; the larger it is, the more orders there are. */
  readonly latency: (random: Random) => number;
  readonly random: Random;
  /** Something is about to be read. */
  readonly reads: (process: SimProcess, call: ApiCall) => void;
  /** A write is about to be carried out. */
  readonly writes: (process: SimProcess, call: ApiCall) => void;
  /** A write has been committed, by whom; before its answer goes back. */
  readonly wrote: (process: SimProcess, call: ApiCall, status: number) => void;
}

/** Takes the place of undici's connections. Returns what ends it. */
export function connectNetwork(options: NetworkOptions): () => void {
  const original = Object.getOwnPropertyDescriptor(Agent.prototype, 'request');
  const request = async (asked: Dispatcher.RequestOptions) => send(options, asked);
  Object.defineProperty(Agent.prototype, 'request', { value: request, configurable: true, writable: true });
  return () => {
    if (original) Object.defineProperty(Agent.prototype, 'request', original);
    else Reflect.deleteProperty(Agent.prototype, 'request');
  };
}

async function send(options: NetworkOptions, asked: Dispatcher.RequestOptions) {
  const process = owner.getStore();
  if (!(process instanceof SimProcess)) throw new Error('a request of nobody');
  const { method, path, body, headers, signal, bodyTimeout } = asked;
  const sent = Object.entries((headers ?? {}) as Record<string, string>).map(([name, value]) => [name, [value]]);
  const call: ApiCall = {
    method,
    url: path,
    headers: Object.fromEntries(sent),
    body: typeof body === 'string' ? body : '',
  };
  const aborted = abortOf(signal as AbortSignal | undefined);
  await Promise.race([wait(options), aborted]);
  if (process.dead) return never;
  const answer = new Answer();
  answer.head.promise.catch(() => undefined);
  const drop = () => answer.destroy();
  process.ends.add(drop);
  answer.on('close', () => process.ends.delete(drop));
  aborted.catch(drop);
  await deliver(options, process, call, answer);
  const { status, headers: answered } = await Promise.race([answer.head.promise, aborted]);
  await Promise.race([wait(options), aborted]);
  if (bodyTimeout) answer.hearFrom(bodyTimeout);
  const text = () => Promise.race([answer.text(), aborted]);
  const pieces = () => whileAwake(process, answer.read());
  // As a stream does: bytes, until somebody asks for text.
  const bytes = async function* () {
    for await (const piece of pieces()) yield Buffer.from(piece);
  };
  const stream = {
    text,
    setEncoding: () => Object.assign(stream, { [Symbol.asyncIterator]: pieces }),
    [Symbol.asyncIterator]: bytes,
  };
  return { statusCode: status, headers: answered, body: stream };
}

/** The server's part, in the server's own context. Writes are points where the process dies. */
async function deliver(options: NetworkOptions, process: SimProcess, call: ApiCall, answer: Answer): Promise<void> {
  const answering = (to: ApiAnswer) => owner.run(undefined, () => options.sim().answer(call, to));
  if (call.method === 'GET' || call.url.includes('selfsubjectaccessreviews')) {
    options.reads(process, call);
    // A fault may make the server late; the answer's head tells when it comes.
    void answering(answer);
    return;
  }
  const label = `${call.method} ${call.url.replace(/\?.*/, '').replace(/^.*\/(?:v1)\//, '')}`;
  try {
    process.point('before-write', label);
  } catch (error) {
    if (error instanceof Killed) return never;
    throw error;
  }
  options.writes(process, call);
  void answering(answer);
  const head = await answer.head.promise.catch(() => undefined);
  options.wrote(process, call, head?.status ?? 0);
  try {
    process.point('committed', label);
  } catch (error) {
    if (error instanceof Killed) return never;
    throw error;
  }
}

/** A frozen process reads on when it wakes. */
async function* whileAwake(process: SimProcess, pieces: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const piece of pieces) {
    if (process.hold) await new Promise<void>(resolve => setTimeout(resolve, 0));
    yield piece;
  }
}

function wait({ latency, random }: NetworkOptions): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, latency(random)));
}

function abortOf(signal: AbortSignal | undefined): Promise<never> {
  if (!signal) return never;
  const aborted = new Promise<never>((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => undefined);
  return aborted;
}
