import { defineGate, type Finding } from '../core/gate.ts';

export const configOptions = defineGate({
  id: 'config-options',
  title: 'Every option of the configuration has its like in the new mode',
  hint: "'proxyctl plan' shows the configuration of the new mode",
  moments: ['preflight'],
  observe: look => look.configNotes,
  judge(notes, look) {
    const config = look.inventory.proxy.configMap;
    const subject = config ? `configmap ${config.namespace}/${config.name}` : 'configuration';
    if (!notes)
      return { findings: [{ level: 'inconclusive', subject, message: 'the configuration was not read' }], summary: '' };
    const findings = notes.flatMap(({ level, path, message }): Finding[] =>
      level === 'info' ? [] : [{ level, subject: `option ${path}`, message }],
    );
    return { findings, summary: 'all options carry over' };
  },
});
