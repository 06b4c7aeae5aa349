import { EndpointCounts } from '../core/endpoint-counts.ts';
import { nothingBefore, scopeOfLook } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { inNamespaces } from '../core/in-namespaces.ts';
import { serviceKey } from '../core/inventory.ts';
import { count } from '../core/words.ts';

interface Seen {
  /** Ready endpoints by Service. */
  readonly ready: ReadonlyMap<string, number>;
  /** Services that had endpoints before and are no more. */
  readonly gone: ReadonlySet<string>;
}

/** More Services without endpoints than that are not a matter of single Services that were deleted. */
const MOST_READS = 10;

/** kubelets probe pods directly, so endpoints that go are the word of programs whose own calls fail. */
export const readyEndpoints = defineGate<Seen>({
  id: 'ready-endpoints',
  title: 'Services keep their ready endpoints',
  hint: "'kubectl describe pod' of the Service's pods tells why they are not ready; 'proxyctl rollback' puts the node back",
  moments: ['after-node', 'after-batch'],
  standsFor: 5,
  compares: true,
  async observe(look, before) {
    const { services, namespaces } = scopeOfLook(look);
    const counts = new EndpointCounts();
    for await (const slice of inNamespaces(look.cluster, 'EndpointSlice', namespaces)) counts.add(slice);
    const ready = new Map<string, number>();
    for (const service of services) {
      const { readyByNode } = counts.of(service, []);
      ready.set(
        service,
        Object.values(readyByNode).reduce((sum, n) => sum + n, 0),
      );
    }
    const empty = [...services].filter(service => ready.get(service) === 0 && (before?.ready.get(service) ?? 0) > 0);
    return { ready, gone: await goneOf(look, empty) };
  },
  judge({ ready, gone }, look, before) {
    const all = [...ready.values()].reduce((sum, n) => sum + n, 0);
    const summary = `${count(all, 'ready endpoint')} behind ${count(ready.size, 'Service')}`;
    if (!before) return { findings: [nothingBefore(look)], summary };
    const findings = [...ready].flatMap(([service, now]): Finding[] => {
      const then = before.ready.get(service) ?? 0;
      const finding = now < then ? lost(look, then, now) : undefined;
      if (!finding) return [];
      const subject = `service ${service}`;
      if (!gone.has(service)) return [{ ...finding, subject }];
      return [{ level: 'warning', subject, message: 'was deleted meanwhile' }];
    });
    return { findings, summary };
  },
});

function lost(look: Look, then: number, now: number): Pick<Finding, 'level' | 'message'> | undefined {
  const message = `has ${now} of ${count(then, 'ready endpoint')} left`;
  const { warn, fail } = look.playbook.gates.readyEndpoints;
  const share = 1 - now / then;
  if (now === 0 || share > fail) return { level: 'error', message };
  return share > warn ? { level: 'warning', message } : undefined;
}

/** Of these Services, those that were deleted. */
async function goneOf(look: Look, services: readonly string[]): Promise<Set<string>> {
  const gone = new Set<string>();
  if (services.length > MOST_READS) return gone;
  for (const service of services) {
    const [namespace = '', name = ''] = service.split('/');
    if (!(await look.cluster?.get({ kind: 'Service', namespace, name }))) gone.add(serviceKey({ namespace, name }));
  }
  return gone;
}
