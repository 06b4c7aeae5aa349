// What a playbook says about single gates, and what follows from it.
import type { Finding, Gate, Judgement } from './gate.ts';
import type { Playbook } from './playbook.ts';
import { ON_RED, type OnRed } from './playbook-gates.ts';
import { few } from './words.ts';

/** Gates that tell whether a kube-proxy is ready to serve: no flip goes without them, and a way back waits for them too. */
export const READINESS: ReadonlySet<string> = new Set(['effective-mode', 'convergence', 'kernel-rules']);

/** The gates as the playbook wants them: some not asked, some at fewer moments, some that only warn. */
export function configuredGates(gates: readonly Gate[], playbook: Playbook): Gate[] {
  return gates.flatMap((gate): Gate[] => {
    const settings = playbook.gates.settings[gate.id];
    if (settings?.enabled === false || gate.wanted?.(playbook) === false) return [];
    if (!settings) return [gate];
    const { moments = gate.moments, severity } = settings;
    const asked = { ...gate, moments: gate.moments.filter(moment => moments.includes(moment)) };
    if (severity === 'error') return [asked];
    return [{ ...asked, look: async look => onlyWarning(await gate.look(look)) }];
  });
}

function onlyWarning(judgement: Judgement): Judgement {
  const findings = judgement.findings.map((finding): Finding => {
    if (finding.level === 'warning') return finding;
    return { ...finding, level: 'warning', message: `${finding.message} (only warns)` };
  });
  return { ...judgement, findings, verdict: 'pass' };
}

/** What these judgements lead to: the most far-reaching answer among the gates that failed; `halt` when none did. */
export function onRedOf(judgements: readonly Judgement[], { gates }: Playbook): OnRed {
  const answers = judgements.filter(j => j.verdict === 'fail').map(j => gates.settings[j.gate]?.onRed ?? gates.onRed);
  return ON_RED.findLast(answer => answers.includes(answer)) ?? 'halt';
}

export interface SettingsMistake {
  readonly path: readonly (string | number)[];
  /** The mistake is the key itself, not its value. */
  readonly atKey: boolean;
  readonly message: string;
}

/** The first thing that the playbook says about gates which these gates cannot do; undefined when there is none. */
export function settingsMistake(gates: readonly Gate[], playbook: Playbook): SettingsMistake | undefined {
  const known = new Map(gates.map(gate => [gate.id, gate]));
  const unknown = `is no gate; there are ${few([...known.keys()], known.size)}`;
  for (const [id, settings] of Object.entries(playbook.gates.settings)) {
    const path = ['gates', 'settings', id];
    const gate = known.get(id);
    if (!gate) return { path, atKey: true, message: unknown };
    if (READINESS.has(id)) {
      const message = 'cannot be taken away: no node is flipped without this gate';
      if (!settings.enabled) return { path: [...path, 'enabled'], atKey: false, message };
      if (settings.severity !== 'error') return { path: [...path, 'severity'], atKey: false, message };
      if (settings.moments) return { path: [...path, 'moments'], atKey: false, message };
    }
    const odd = settings.moments?.findIndex(moment => !gate.moments.includes(moment)) ?? -1;
    if (odd >= 0) {
      const message = `is no moment of this gate; it has ${gate.moments.join(', ')}`;
      return { path: [...path, 'moments', odd], atKey: false, message };
    }
  }
  const odd = playbook.preflight.accept.findIndex(id => !known.has(id));
  return odd < 0 ? undefined : { path: ['preflight', 'accept', odd], atKey: false, message: unknown };
}
