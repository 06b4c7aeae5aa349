// From a pod's specification to a running container: files, environment, arguments, program.
import type { KubeObject } from '../core/cluster.ts';
import { runKubeProxy } from './kube-proxy.ts';
import { runWatcherContainer } from './node-io.ts';
import type { Store } from './store.ts';
import { aborted } from './timers.ts';
import type { Program } from './world.ts';

interface Mount {
  name: string;
  mountPath: string;
  subPath?: string;
}
interface Volume {
  name: string;
  configMap?: { name: string; optional?: boolean; items?: { key: string; path: string }[] };
}

/** Names of ConfigMaps that the pod needs and that are not there. */
export function missingConfigMaps(store: Store, pod: KubeObject): string[] {
  const volumes: Volume[] = pod.spec.volumes ?? [];
  return volumes.flatMap(({ configMap }) =>
    configMap && !configMap.optional && !store.get('ConfigMap', pod.metadata.namespace, configMap.name)
      ? [configMap.name]
      : [],
  );
}

/** Contents of ConfigMaps by the path where the container sees them, as they are now. */
export function mountedFiles(store: Store, pod: KubeObject, container: KubeObject['spec']): Map<string, string> {
  const files = new Map<string, string>();
  const mounts: Mount[] = container.volumeMounts ?? [];
  const volumes: Volume[] = pod.spec.volumes ?? [];
  for (const { name, mountPath, subPath } of mounts) {
    const source = volumes.find(v => v.name === name)?.configMap;
    if (!source) continue;
    const data: Record<string, string> = store.get('ConfigMap', pod.metadata.namespace, source.name)?.data ?? {};
    const items = source.items ?? Object.keys(data).map(key => ({ key, path: key }));
    for (const { key, path } of items) {
      const text = data[key];
      if (text === undefined || (subPath !== undefined && subPath !== path)) continue;
      files.set(subPath === undefined ? `${mountPath.replace(/\/$/, '')}/${path}` : mountPath, text);
    }
  }
  return files;
}

interface Variable {
  name: string;
  value?: string;
  valueFrom?: { fieldRef?: { fieldPath: string } };
}

export function environment(pod: KubeObject, container: KubeObject['spec']): Map<string, string> {
  const env = new Map<string, string>();
  const variables: Variable[] = container.env ?? [];
  for (const { name, value, valueFrom } of variables) {
    const path = valueFrom?.fieldRef?.fieldPath;
    env.set(name, expand(path === undefined ? (value ?? '') : fieldOf(pod, path), env));
  }
  return env;
}

function fieldOf(pod: KubeObject, path: string): string {
  let value: unknown = pod;
  for (const key of path.split('.'))
    value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  return typeof value === 'string' ? value : '';
}

/** Fills in `$(NAME)`; an unknown name stays as it stands. */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\(([^)]+)\)/g, (whole, name: string) => env.get(name) ?? whole);
}

/** What an image does here. */
export function programOf(image: string): Program {
  const name = image.replace(/@.*$/, '').replace(/:[^/]*$/, '');
  if (name.includes('proxyctl/watcher')) return runWatcherContainer;
  if (name.endsWith('kube-proxy')) return runKubeProxy;
  return idle;
}

const idle: Program = async ({ signal }) => {
  await aborted(signal);
  return 143;
};
