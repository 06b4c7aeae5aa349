// A node for watcher tests: files, programs and ports as scripted, and a clock that stands until somebody sleeps.
import type { Dial, NodeIo, Prepared, ProgramResult, Reply } from '../../src/core/node-io.ts';
import { type Observation, type Outcome, parseObservation } from '../../src/core/observation.ts';
import type { HostPort, ProxyAddresses } from '../../src/core/proxy-address.ts';
import { hostPort } from '../../src/core/service-port.ts';

export interface Answer {
  code?: number;
  stdout?: string;
  stderr?: string;
}

/** Output comes in pieces of so many characters. */
const PIECE = 1000;

export class FakeNode implements NodeIo {
  files: Record<string, string> = {};
  /** By `address:port/path`; what is not there refuses the connection. */
  http: Record<string, string | number> = {};
  /** By program with arguments; what is not there is not installed. */
  programs: Record<string, Answer | ((input: string) => Answer)> = {};
  dials: (dial: Dial) => Promise<Outcome | Reply> = async () => 'ok';
  devices: { device: string; address: string }[] = [];
  readonly echoes: { address: string; port: number; text: string }[] = [];
  readonly calls: { command: string; input: string }[] = [];
  readonly lines: Observation[] = [];
  private time = Date.UTC(2026, 0, 1);
  private sleepers: { at: number; wake: () => void }[] = [];

  async httpGet({ address, port }: HostPort, path: string): Promise<{ status: number; body: string }> {
    const answer = this.http[`${hostPort(address, port)}${path}`];
    if (answer === undefined) throw new Error(`connect ECONNREFUSED ${hostPort(address, port)}`);
    return typeof answer === 'number' ? { status: answer, body: '' } : { status: 200, body: answer };
  }

  async readFile(path: string): Promise<string> {
    const text = this.files[path];
    if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
    return text;
  }

  async run(
    program: string,
    args: readonly string[],
    input = '',
    take?: (piece: string) => void,
  ): Promise<ProgramResult> {
    const command = [program, ...args].join(' ');
    this.calls.push({ command, input });
    const script = this.programs[command];
    if (script === undefined) return { code: 127, stdout: '', stderr: `${program}: not found` };
    const result = { code: 0, stdout: '', stderr: '', ...(typeof script === 'function' ? script(input) : script) };
    if (!take) return result;
    for (let at = 0; at < result.stdout.length; at += PIECE) take(result.stdout.slice(at, at + PIECE));
    return { ...result, stdout: '' };
  }

  prepare(program: string, args: readonly string[]): Prepared {
    return { give: input => this.run(program, args, input) };
  }

  async dial(dial: Dial): Promise<Reply> {
    const reply = await this.dials(dial);
    return typeof reply === 'string' ? { outcome: reply } : reply;
  }

  async echo(address: string, port: number, text: string): Promise<void> {
    this.echoes.push({ address, port, text });
  }

  addresses(): { device: string; address: string }[] {
    return this.devices;
  }

  cpu(): number {
    return 0;
  }

  now(): number {
    return this.time;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.time + ms, wake: resolve };
      this.sleepers.push(sleeper);
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  }

  print(line: string): void {
    const observation = parseObservation(line);
    if (!observation) throw new Error(`not an observation: ${line}`);
    this.lines.push(observation);
  }

  /** Lets `ms` pass for everybody who sleeps. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      await settled();
      const next = this.sleepers.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.sleepers = this.sleepers.filter(s => s !== next);
      this.time = Math.max(this.time, next.at);
      next.wake();
    }
    this.time = end;
  }

  /** Time passes until `work` is done. */
  async finish<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const done = work.finally(() => {
      over = true;
    });
    // Whoever waits for the end is told.
    done.catch(() => undefined);
    for (let seconds = 0; seconds < 1000; seconds++) {
      await settled();
      if (over) break;
      await this.pass(1000);
    }
    return done;
  }

  of<K extends Observation['kind']>(kind: K): Extract<Observation, { kind: K }>[] {
    return this.lines.filter((line): line is Extract<Observation, { kind: K }> => line.kind === kind);
  }
}

/** Everything that can go on without time passing has gone on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
}

/** As kube-proxy has them where nothing else is said. */
export const MAIN: ProxyAddresses = {
  metrics: { address: '127.0.0.1', port: 10249 },
  healthz: { address: '127.0.0.1', port: 10256 },
};

export function metricsText(start: number, lastSync: number): string {
  return `# HELP process_start_time_seconds Start time.
process_start_time_seconds ${start}
kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} ${lastSync}
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} ${lastSync - 1}
kubeproxy_sync_full_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 0.5
kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1
`;
}

/** A kube-proxy in `mode` at the node's main addresses that has written its rules. */
export function serve(node: FakeNode, mode: string, at = MAIN, metrics = metricsText(1000, 1002.5)): void {
  const [metricsAt, healthzAt] = [at.metrics, at.healthz].map(({ address, port }) => hostPort(address, port));
  node.http[`${metricsAt}/proxyMode`] = mode;
  node.http[`${metricsAt}/metrics`] = metrics;
  node.http[`${healthzAt}/healthz`] = '{}';
}
