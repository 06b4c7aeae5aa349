import { MAKING_NAMESPACE, placeOf, questions, rulesFor } from '../core/access.ts';
import type { Access } from '../core/cluster.ts';
import { defineGate, type Finding } from '../core/gate.ts';
import { NAMESPACE } from '../core/names.ts';
import { isMade } from '../core/own-namespace.ts';
import { count } from '../core/words.ts';

/** A permission found missing in the middle of a run leaves it half done. */
export const permissions = defineGate({
  id: 'permissions',
  title: 'This user may do all that a run does',
  hint: "'proxyctl rbac migrate --user NAME' prints the roles; 'kubectl auth can-i' asks the same question",
  moments: ['preflight'],
  async observe(look) {
    const { cluster } = look;
    if (!cluster) throw new Error('no cluster to ask');
    const namespace = await cluster.get({ kind: 'Namespace', name: NAMESPACE });
    const isGiven = namespace !== undefined && !isMade(namespace);
    const rules = [...rulesFor('migrate', placeOf(look.inventory.proxy)), ...(isGiven ? [] : MAKING_NAMESPACE)];
    return Promise.all(questions(rules).map(async access => ({ access, allowed: await cluster.can(access) })));
  },
  judge(answers) {
    const findings = answers
      .filter(a => !a.allowed)
      .map(({ access }): Finding => ({ level: 'error', subject: 'user', message: `cannot ${accessText(access)}` }));
    return { findings, summary: count(answers.length, 'permission') };
  },
});

function accessText({ verb, group, resource, namespace, name }: Access): string {
  const what = `${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` ${name}`}`;
  return `${verb} ${what}${namespace === undefined ? '' : ` in namespace ${namespace}`}`;
}
