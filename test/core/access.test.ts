import { describe, expect, test } from 'vitest';
import { KUBEADM, MAKING_NAMESPACE, PURPOSES, placeOf, questions, rulesFor } from '../../src/core/access.ts';
import { NAMESPACE } from '../../src/core/names.ts';
import { rbacObjects, type Subject } from '../../src/core/rbac.ts';
import { inventory } from '../gates/looks.ts';

const jane: Subject = { kind: 'User', name: 'jane' };

describe.each(PURPOSES)('rights for %s', purpose => {
  const all = [...rulesFor(purpose), ...MAKING_NAMESPACE];

  test('name neither secrets, nor exec, nor a node proxy, nor everything', () => {
    const roles = rbacObjects(purpose, KUBEADM, [jane]).flatMap(object => object.rules ?? []);
    const printed = roles.flatMap(rule => [...rule.apiGroups, ...rule.resources, ...rule.verbs]);
    const words = [...printed, ...all.flatMap(({ group, resource, verbs }) => [group, resource, ...verbs])];
    expect(words.filter(word => /[*]|secret|exec|attach|forward|proxy|ephemeral|token|rbac|role/.test(word))).toEqual(
      [],
    );
    expect(words.filter(word => /^(deletecollection|impersonate|escalate|bind|update)$/.test(word))).toEqual([]);
  });

  test('ask for nothing twice', () => {
    const asked = questions(all).map(question => JSON.stringify(question));
    expect(new Set(asked).size).toBe(asked.length);
  });

  test('hold no create or list to names, which the API server would never grant', () => {
    for (const { verbs, names } of all)
      if (names) expect(verbs.filter(verb => verb === 'create' || verb === 'list')).toEqual([]);
  });
});

test('change nothing of others but for a migration', () => {
  const others = rulesFor('verify').filter(rule => rule.namespace !== NAMESPACE);
  expect(new Set(others.flatMap(rule => rule.verbs))).toEqual(new Set(['get', 'list', 'watch']));
  for (const purpose of PURPOSES.filter(p => p !== 'migrate' && p !== 'verify'))
    expect(new Set(rulesFor(purpose).flatMap(rule => rule.verbs))).toEqual(new Set(['get', 'list']));
});

test('follow the names of kube-proxy’s objects', () => {
  const { daemonSet, configMap, ...proxy } = inventory().proxy;
  if (!daemonSet || !configMap) throw new Error('an inventory without kube-proxy');
  const place = placeOf({
    ...proxy,
    daemonSet: { ...daemonSet, name: 'kp' },
    configMap: { ...configMap, name: 'conf' },
  });
  const names = rulesFor('migrate', place).flatMap(rule => rule.names ?? []);
  expect(names).toEqual(expect.arrayContaining(['kp', 'kp-ipvs', 'conf', 'conf-ipvs']));
  expect(names.filter(name => name.startsWith('kube-proxy'))).toEqual([]);
});

test('a ServiceAccount is bound by its namespace, and without subjects nothing is bound', () => {
  const account: Subject = { kind: 'ServiceAccount', name: 'ci', namespace: 'tools' };
  const bindings = rbacObjects('migrate', KUBEADM, [jane, account]).filter(o => o.kind.endsWith('Binding'));
  expect(bindings).toHaveLength(3);
  for (const { subjects, roleRef, metadata } of bindings) {
    expect(subjects).toEqual([{ ...jane, apiGroup: 'rbac.authorization.k8s.io' }, account]);
    expect(roleRef.kind).toBe(metadata.namespace === undefined ? 'ClusterRole' : 'Role');
  }
  expect(rbacObjects('migrate', KUBEADM, []).map(o => o.kind)).toEqual([
    'Namespace',
    'ServiceAccount',
    'ClusterRole',
    'Role',
    'Role',
  ]);
});
