import { EndpointCounts } from '../core/endpoint-counts.ts';
import { nothingBefore, scopeOfLook } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { inNamespaces } from '../core/in-namespaces.ts';
import { isScaledTo, podsOfServices, type ServicePods } from '../core/scaled-down.ts';
import { count } from '../core/words.ts';

interface Seen {
  /** Ready endpoints by Service. */
  readonly ready: ReadonlyMap<string, number>;
  /** What the API says of Services that lost too many; those that were deleted are not in it. */
  readonly pods: ReadonlyMap<string, ServicePods>;
}

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
    const fallen = [...ready].filter(([key, now]) => lost(look, before?.ready.get(key) ?? 0, now)?.level === 'error');
    return { ready, pods: await podsOfServices(look.cluster, new Set(fallen.map(([key]) => key))) };
  },
  judge({ ready, pods }, look, before) {
    const all = [...ready.values()].reduce((sum, n) => sum + n, 0);
    const summary = `${count(all, 'ready endpoint')} behind ${count(ready.size, 'Service')}`;
    if (!before) return { findings: [nothingBefore(look)], summary };
    const findings = [...ready].flatMap(([service, now]): Finding[] => {
      const finding = lost(look, before.ready.get(service) ?? 0, now);
      if (!finding) return [];
      const subject = `service ${service}`;
      const { level, message } = finding;
      const known = pods.get(service);
      if (level === 'error' && !known) return [{ level: 'warning', subject, message: 'was deleted meanwhile' }];
      if (level === 'error' && known && isScaledTo(now, known))
        return [{ level: 'warning', subject, message: `${message}; it was scaled down to ${known.wanted} meanwhile` }];
      return [{ level, subject, message }];
    });
    return { findings, summary };
  },
});

function lost(look: Look, then: number, now: number): Pick<Finding, 'level' | 'message'> | undefined {
  if (now >= then) return undefined;
  const message = `has ${now} of ${count(then, 'ready endpoint')} left`;
  const { warn, fail } = look.playbook.gates.readyEndpoints;
  const share = 1 - now / then;
  if (now === 0 || share > fail) return { level: 'error', message };
  return share > warn ? { level: 'warning', message } : undefined;
}
