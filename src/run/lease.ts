import type { Clock } from '../core/clock.ts';
import type { Cluster, KubeObject, PatchOp, Ref } from '../core/cluster.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { metadataOps } from '../core/metadata-ops.ts';
import { ANNOTATION_CONTROL, LEASE, NAMESPACE } from '../core/names.ts';
import { controlOf, doingOf, freshControl } from '../core/steering.ts';

const DURATION_SECONDS = 15;
const RENEW_MS = 5_000;
const POLL_MS = 500;

export interface Held {
  /** One more than the holder before had: with the run's id, the fence in every write. */
  readonly epoch: number;
  /** The holder before did not give the Lease up: it may be stopped in the middle of a write. */
  readonly takenOver: boolean;
  /** Aborts when somebody else holds the Lease; the reason is a ProxyctlError that names who. */
  readonly lost: AbortSignal;
  /** Asks the server whether the Lease is still ours. @throws ProxyctlError 25 when it is not, 69 when it cannot be told. */
  confirm(): Promise<void>;
  /** The Lease as it is now, with what operators want of the run; nothing when it is not ours any more. */
  read(): Promise<KubeObject | undefined>;
  /** Writes to the Lease while it is ours. */
  tell(ops: PatchOp[]): Promise<void>;
  /** Our fence stands on all objects of the run: the next one need not take over from the one before us. */
  sealed(): void;
  /** Gives it up. When the server cannot be told, or before it is sealed, it is left to grow stale, and the next one has to take over. */
  release(): Promise<void>;
}

const ref: Ref = { kind: 'Lease', namespace: NAMESPACE, name: LEASE };

export interface Wanted {
  readonly holder: string;
  /** Take it from a holder that is alive, too: its next write is refused. */
  readonly force?: boolean;
  /** The highest epoch that stands on objects of the run: a Lease that was deleted and made anew knows nothing of it. */
  readonly written?: number;
}

/**
 * Takes the Lease, or refuses (exit 25) when its holder is alive. Alive means: it renews while we watch, by our own clock; the
 * clocks of two machines are never compared.
 */
export async function takeLease(cluster: Cluster, clock: Clock, { holder, force, written = 0 }: Wanted): Promise<Held> {
  let current = await cluster.get(ref);
  if (current && holderOf(current) !== '' && !force) current = await staleOrFree(cluster, clock, current);
  const known = Number(current?.spec.leaseTransitions ?? 0);
  const takenOver = written > known || (current !== undefined && holderOf(current) !== '');
  const epoch = Math.max(known, written) + 1;
  const spec = {
    holderIdentity: holder,
    leaseDurationSeconds: DURATION_SECONDS,
    leaseTransitions: epoch,
    acquireTime: microTime(clock),
    renewTime: microTime(clock),
  };
  try {
    const taken = current
      ? await cluster.patch(ref, [
          unchanged(current),
          { op: 'replace', path: '/spec', value: spec },
          ...noPause(current),
        ])
      : await cluster.create({
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name: LEASE, namespace: NAMESPACE },
          spec,
        });
    return new Holding(cluster, clock, taken, takenOver);
  } catch (error) {
    if (!(error instanceof ApiError) || ![409, 422].includes(error.status)) throw error;
    const now = await cluster.get(ref);
    // An answer that was lost on its way, and the request sent again.
    if (now && now.spec.holderIdentity === holder && now.spec.leaseTransitions === epoch) {
      return new Holding(cluster, clock, now, takenOver);
    }
    throw underWay(now, error);
  }
}

class Holding implements Held {
  readonly epoch: number;
  readonly takenOver: boolean;
  private readonly cluster: Cluster;
  private readonly clock: Clock;
  /** Another Lease of the same name is not ours, whatever its epoch. */
  private readonly uid: string | undefined;
  private readonly losing = new AbortController();
  private readonly timer: NodeJS.Timeout;
  private isSealed: boolean;

  constructor(cluster: Cluster, clock: Clock, taken: KubeObject, takenOver: boolean) {
    this.cluster = cluster;
    this.clock = clock;
    this.takenOver = takenOver;
    this.isSealed = !takenOver;
    this.epoch = Number(taken.spec.leaseTransitions);
    this.uid = taken.metadata.uid;
    this.timer = setInterval(() => void this.renew(), RENEW_MS);
  }

  get lost(): AbortSignal {
    return this.losing.signal;
  }

  async confirm(): Promise<void> {
    this.lost.throwIfAborted();
    const now = await this.cluster.get(ref);
    if (!this.isOurs(now)) this.lose(now);
    this.lost.throwIfAborted();
  }

  async read(): Promise<KubeObject | undefined> {
    const now = await this.cluster.get(ref);
    if (this.isOurs(now)) return now;
    // Gone with its namespace it may be by our own doing.
    if (now) this.lose(now);
    return undefined;
  }

  async tell(ops: PatchOp[]): Promise<void> {
    await this.cluster.patch(ref, [...this.ours(), ...ops]);
  }

  async release(): Promise<void> {
    clearInterval(this.timer);
    if (this.lost.aborted || !this.isSealed) return;
    try {
      const now = await this.cluster.get(ref);
      // Gone with its namespace, or another's already.
      if (!this.isOurs(now)) return;
      await this.cluster.patch(ref, [...this.ours(), { op: 'replace', path: '/spec/holderIdentity', value: '' }]);
    } catch (error) {
      if (!(error instanceof ProxyctlError)) throw error;
    }
  }

  sealed(): void {
    this.isSealed = true;
  }

  private async renew(): Promise<void> {
    try {
      await this.cluster.patch(ref, [
        ...this.ours(),
        { op: 'replace', path: '/spec/renewTime', value: microTime(this.clock) },
      ]);
    } catch (error) {
      // Only a refusal may mean that it is lost; a server that is away for a moment does not, nor that the Lease went with its
      // namespace, as it does when we leave: each write asks anyway.
      if (error instanceof ApiError && [409, 422].includes(error.status)) {
        // Whoever waits on `lost` is told; there is nobody here to tell.
        await this.confirm().catch(() => undefined);
      }
    }
  }

  private isOurs(now: KubeObject | undefined): boolean {
    return now?.metadata.uid === this.uid && Number(now?.spec.leaseTransitions) === this.epoch;
  }

  private ours(): PatchOp[] {
    return [
      { op: 'test', path: '/metadata/uid', value: this.uid },
      { op: 'test', path: '/spec/leaseTransitions', value: this.epoch },
    ];
  }

  private lose(now: KubeObject | undefined): void {
    clearInterval(this.timer);
    const who =
      now &&
      `${describeHolder(now) || 'who has ended by now'} (epoch ${now.spec.leaseTransitions}, ours was ${this.epoch})`;
    const what = who ? `another proxyctl took this run over: ${who}` : 'the run ended elsewhere: its Lease is gone';
    this.losing.abort(new ProxyctlError(`${what}; nothing more was written from here`, EXIT.runUnderWay));
  }
}

/** Watches until the Lease is given up or grows stale; gives it as it was then. @throws when its holder renews it. */
async function staleOrFree(cluster: Cluster, clock: Clock, seen: KubeObject): Promise<KubeObject | undefined> {
  const { renewTime, leaseDurationSeconds } = seen.spec;
  const end = clock.monotonic() + Number(leaseDurationSeconds ?? DURATION_SECONDS) * 1000;
  let now: KubeObject | undefined = seen;
  while (clock.monotonic() < end) {
    await clock.sleep(POLL_MS);
    now = await cluster.get(ref);
    if (!now || holderOf(now) === '') return now;
    if (now.spec.renewTime !== renewTime) throw underWay(now);
  }
  return now;
}

/** Who holds a Lease, and since when, for people; empty when nobody does. */
export function describeHolder(lease: KubeObject): string {
  const holder = holderOf(lease);
  return holder === '' ? '' : `${holder}, since ${String(lease.spec.acquireTime ?? '?').slice(0, 19)}Z`;
}

function holderOf(lease: KubeObject): string {
  return String(lease.spec.holderIdentity ?? '');
}

/** Who wanted the runner before to stand still did not mean this one. */
function noPause(lease: KubeObject): PatchOp[] {
  if (lease.metadata.annotations?.[ANNOTATION_CONTROL] === undefined) return [];
  return metadataOps(lease, { annotations: { [ANNOTATION_CONTROL]: JSON.stringify(freshControl(controlOf(lease))) } });
}

function unchanged(lease: KubeObject): PatchOp {
  return { op: 'test', path: '/metadata/resourceVersion', value: lease.metadata.resourceVersion };
}

function underWay(lease: KubeObject | undefined, cause?: unknown): ProxyctlError {
  const who = lease && describeHolder(lease);
  const doing = doingOf(lease);
  const now = doing ? ` (${doing.action}, ${doing.text}, since ${doing.since.slice(0, 19)}Z)` : '';
  const message = who
    ? `a run is under way: ${who}, holds the Lease ${NAMESPACE}/${LEASE}${now}; 'proxyctl pause' and 'proxyctl abort' reach it; see also 'proxyctl status'`
    : "another proxyctl took the Lease meanwhile; 'proxyctl status' tells what stands in the cluster";
  return new ProxyctlError(message, EXIT.runUnderWay, { cause });
}

/** RFC 3339 with microseconds, as Leases have it. */
function microTime(clock: Clock): string {
  return new Date(clock.now()).toISOString().replace('Z', '000Z');
}
