// When the servers of a Service were called unready while a test ran: who dialled it then lost by that, whoever wrote the rules.
import { createInterface } from 'node:readline';
import { sleep, spawnInside } from './shell.ts';

/** A stretch of time, ms since 1970; it may last still. */
interface Stretch {
  readonly from: number;
  to: number;
}

/** kube-proxy writes its rules and hears of changes some seconds after who follows the API does, or before. */
const BEFORE_MS = 2_000;
const AFTER_MS = 10_000;
const AGAIN_MS = 1_000;
const READY = '{range .endpoints[*]}{.conditions.ready}{" "}{end}{"\\n"}';

/** Follows one Service of the namespace `shop` until it is told to end. */
export class Readiness {
  private readonly stretches: Stretch[] = [];
  private isReady = true;
  private child: ReturnType<typeof spawnInside> | undefined;
  private over = false;

  constructor(service: string) {
    void this.follow(['-n', 'shop', 'get', 'endpointslices', '-l', `kubernetes.io/service-name=${service}`]);
  }

  end(): void {
    this.over = true;
    this.child?.kill();
    this.hear(true);
  }

  /** Whether not all endpoints were ready somewhere between two moments, ms since 1970. */
  wasUnready(from: number, to: number): boolean {
    return this.stretches.some(one => one.from - BEFORE_MS < to && from < one.to + AFTER_MS);
  }

  private async follow(get: readonly string[]): Promise<void> {
    while (!this.over) {
      this.child = spawnInside(['kubectl', ...get, '--watch', '-o', `jsonpath=${READY}`], {});
      for await (const line of createInterface({ input: this.child.stdout })) this.hear(!line.includes('false'));
      await sleep(AGAIN_MS);
    }
  }

  private hear(isReady: boolean): void {
    if (isReady === this.isReady) return;
    this.isReady = isReady;
    const last = this.stretches.at(-1);
    if (!isReady) this.stretches.push({ from: Date.now(), to: Number.POSITIVE_INFINITY });
    else if (last) last.to = Date.now();
  }
}
