import type { Clock } from '../core/clock.ts';
import type { Cluster, KubeObject, Ref } from '../core/cluster.ts';
import { ApiError, EXIT, ProxyctlError } from '../core/errors.ts';
import { LEASE, NAMESPACE } from '../core/names.ts';

const DURATION_SECONDS = 15;
const RENEW_MS = 5_000;
const POLL_MS = 500;

export interface Held {
  /** One more than the holder before had: the fence in every write. */
  readonly epoch: number;
  /** Aborts when somebody else holds the Lease. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

const ref: Ref = { kind: 'Lease', namespace: NAMESPACE, name: LEASE };

/**
 * Takes the Lease, or refuses (exit 25) when its holder is alive. Alive means: it renews while we watch, by our own clock; the
 * clocks of two machines are never compared.
 */
export async function takeLease(cluster: Cluster, clock: Clock, holder: string): Promise<Held> {
  const current = await cluster.get(ref);
  if (current && String(current.spec.holderIdentity ?? '') !== '') await waitUntilStale(cluster, clock, current);
  const epoch = Number(current?.spec.leaseTransitions ?? 0) + 1;
  const spec = {
    holderIdentity: holder,
    leaseDurationSeconds: DURATION_SECONDS,
    leaseTransitions: epoch,
    ...times(clock),
  };
  try {
    if (current) {
      const test = { op: 'test' as const, path: '/spec/leaseTransitions', value: epoch - 1 };
      await cluster.patch(ref, [test, { op: 'replace', path: '/spec', value: spec }]);
    } else {
      await cluster.create({
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: LEASE, namespace: NAMESPACE },
        spec,
      });
    }
  } catch (error) {
    if (error instanceof ApiError && [409, 422].includes(error.status)) throw underWay('another proxyctl', error);
    throw error;
  }
  return keep(cluster, clock, epoch, holder);
}

function keep(cluster: Cluster, clock: Clock, epoch: number, holder: string): Held {
  const lost = new AbortController();
  const mine = { op: 'test' as const, path: '/spec/leaseTransitions', value: epoch };
  const renew = async () => {
    try {
      await cluster.patch(ref, [mine, { op: 'replace', path: '/spec/renewTime', value: times(clock).renewTime }]);
    } catch (error) {
      // Only a newer epoch ends us; a server that is away for a moment does not: the fence protects every write anyway.
      if (error instanceof ApiError && [409, 422].includes(error.status))
        lost.abort(underWay('another proxyctl took over', error));
    }
  };
  const timer = setInterval(() => void renew(), RENEW_MS);
  return {
    epoch,
    lost: lost.signal,
    async release() {
      clearInterval(timer);
      const now = await cluster.get(ref);
      // Gone with its namespace, or another's already.
      if (now?.spec.holderIdentity !== holder) return;
      await cluster.patch(ref, [mine, { op: 'replace', path: '/spec/holderIdentity', value: '' }]);
    },
  };
}

async function waitUntilStale(cluster: Cluster, clock: Clock, seen: KubeObject): Promise<void> {
  const { holderIdentity, renewTime, leaseDurationSeconds } = seen.spec;
  const end = clock.monotonic() + Number(leaseDurationSeconds ?? DURATION_SECONDS) * 1000;
  while (clock.monotonic() < end) {
    await clock.sleep(POLL_MS);
    const now = await cluster.get(ref);
    if (!now || String(now.spec.holderIdentity ?? '') === '') return;
    if (now.spec.renewTime !== renewTime) throw underWay(String(holderIdentity));
  }
}

function underWay(holder: string, cause?: unknown): ProxyctlError {
  const message = `a run is under way: ${holder} holds the Lease ${NAMESPACE}/${LEASE}; see 'proxyctl status', and wait for it or stop it there`;
  return new ProxyctlError(message, EXIT.runUnderWay, { cause });
}

function times(clock: Clock): { acquireTime: string; renewTime: string } {
  const now = new Date(clock.now()).toISOString().replace('Z', '000Z');
  return { acquireTime: now, renewTime: now };
}
