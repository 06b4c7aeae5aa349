// What kubectl asks before it asks for objects.
import { KINDS, type Kind } from '../core/cluster.ts';
import { groupOf } from './status.ts';

export const GIT_VERSION = 'v1.36.3';

const SHORT: Partial<Record<Kind, string[]>> = {
  Node: ['no'],
  Namespace: ['ns'],
  Pod: ['po'],
  Service: ['svc'],
  ServiceAccount: ['sa'],
  ConfigMap: ['cm'],
  Deployment: ['deploy'],
  StatefulSet: ['sts'],
  DaemonSet: ['ds'],
};
const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

const ENTRIES = Object.entries(KINDS) as [Kind, (typeof KINDS)[Kind]][];

/** The kind behind `/api/v1/<plural>` or `/apis/<group>/<version>/<plural>`. */
export function kindAt(api: string, plural: string): Kind | undefined {
  return ENTRIES.find(([, entry]) => entry.api === api && entry.plural === plural)?.[0];
}

/** The discovery document at a path, or undefined when the path is another one. */
export function discovery(path: string): object | undefined {
  if (path === '/version') {
    return {
      major: '1',
      minor: '36',
      gitVersion: GIT_VERSION,
      gitTreeState: 'clean',
      goVersion: 'simulated',
      platform: 'linux/amd64',
    };
  }
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups().map(group) };
  const api = /^\/(?:api|apis)\/(.+)$/.exec(path)?.[1];
  if (api === undefined) return undefined;
  const resources = ENTRIES.filter(([, entry]) => entry.api === api).flatMap(([kind]) => describe(kind));
  if (api === 'authorization.k8s.io/v1') resources.push(REVIEW);
  if (resources.length > 0) return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: api, resources };
  return groups().includes(api) ? group(api) : undefined;
}

const REVIEW = {
  name: 'selfsubjectaccessreviews',
  singularName: 'selfsubjectaccessreview',
  namespaced: false,
  kind: 'SelfSubjectAccessReview',
  verbs: ['create'],
};

function groups(): string[] {
  const named = ENTRIES.map(([kind]) => groupOf(kind)).filter(name => name !== '');
  return [...new Set(named), 'authorization.k8s.io'];
}

function group(name: string): object {
  const version = { groupVersion: `${name}/v1`, version: 'v1' };
  return { kind: 'APIGroup', apiVersion: 'v1', name, versions: [version], preferredVersion: version };
}

function describe(kind: Kind): (typeof REVIEW & { shortNames?: string[] })[] {
  const { plural, namespaced } = KINDS[kind];
  const base = { singularName: kind.toLowerCase(), namespaced, kind };
  const main = { ...base, name: plural, verbs: VERBS, ...(SHORT[kind] ? { shortNames: SHORT[kind] } : {}) };
  return kind === 'Pod' ? [main, { ...base, singularName: '', name: 'pods/log', verbs: ['get'] }] : [main];
}
