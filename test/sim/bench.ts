// What the tests of the embedded cluster share: a small one, and a client that is nothing but fetch.
import { createSim, type Sim, type SimOptions } from '../../src/sim/sim.ts';

/** Shorter than any reader notices. */
export const FAST = {
  proxyStart: 60,
  proxySync: 5,
  podStart: 15,
  podStop: 10,
  controllerLag: 5,
  crashBackoff: 20,
  canary: 60,
  portRetry: 10,
  dialTimeout: 10,
  reboot: 30,
  sleepFactor: 0.01,
};

export function smallSim(options: SimOptions = {}): Promise<Sim> {
  return createSim({ nodes: 3, services: 12, namespaces: 2, ...options, speed: { ...FAST, ...options.speed } });
}

// biome-ignore lint/suspicious/noExplicitAny: whatever the server says.
export type Body = any;

export interface Answer {
  status: number;
  body: Body;
}

export async function ask(
  sim: Sim,
  method: string,
  path: string,
  body?: unknown,
  type = 'application/json',
): Promise<Answer> {
  const init = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': type } };
  const response = await fetch(`${sim.url}${path}`, { method, ...init });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

export const get = (sim: Sim, path: string): Promise<Answer> => ask(sim, 'GET', path);

export function jsonPatch(sim: Sim, path: string, ops: object[]): Promise<Answer> {
  return ask(sim, 'PATCH', path, ops, 'application/json-patch+json');
}

/** The first defined value within ten seconds. */
export async function until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + 10_000; Date.now() < end; ) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise(resolve => setTimeout(resolve, 4));
  }
  throw new Error(`waited in vain for ${what}`);
}

export const KUBE_SYSTEM = '/api/v1/namespaces/kube-system';
export const PROXY = '/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy';

/** The kube-proxy pods of a node that are not ending. */
export async function proxyPods(sim: Sim, node: string): Promise<Body[]> {
  const { body } = await get(
    sim,
    `${KUBE_SYSTEM}/pods?labelSelector=k8s-app%3Dkube-proxy&fieldSelector=spec.nodeName%3D${node}`,
  );
  return body.items.filter((pod: Body) => !pod.metadata.deletionTimestamp);
}

/** The main configuration with another mode. */
export async function setMode(sim: Sim, mode: string): Promise<void> {
  const { body } = await get(sim, `${KUBE_SYSTEM}/configmaps/kube-proxy`);
  const text = body.data['config.conf'].replace(/^mode: .*$/m, `mode: "${mode}"`);
  await jsonPatch(sim, `${KUBE_SYSTEM}/configmaps/kube-proxy`, [
    { op: 'replace', path: '/data/config.conf', value: text },
  ]);
}

/** What a stock switch does on one node: its pod is deleted and comes back in the mode of the ConfigMap. */
export async function restartProxy(sim: Sim, node: string): Promise<void> {
  const [pod] = await proxyPods(sim, node);
  await ask(sim, 'DELETE', `${KUBE_SYSTEM}/pods/${pod.metadata.name}`);
}
