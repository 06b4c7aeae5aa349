import { defineGate } from '../core/gate.ts';
import { serviceKey } from '../core/inventory.ts';
import { count, few } from '../core/words.ts';

/** Each mode keeps its own table of clients, and none is carried over. */
export const sessionAffinity = defineGate({
  id: 'session-affinity',
  title: 'No Service depends on session affinity',
  hint: 'tell the owners: each client may get another pod once, when the node it is served by flips',
  moments: ['preflight'],
  observe: look => look.inventory.services.filter(s => s.proxied && s.sessionAffinity === 'ClientIP').map(serviceKey),
  judge(services) {
    if (services.length === 0) return { findings: [], summary: 'none has sessionAffinity: ClientIP' };
    const message = `${count(services.length, 'Service')} with sessionAffinity: ClientIP forget their clients once: ${few(services)}`;
    return { findings: [{ level: 'warning', subject: 'cluster', message }], summary: '' };
  },
});
