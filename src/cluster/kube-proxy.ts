// How kube-proxy is run here: its DaemonSet, its configuration, and who looks after them.
import { createHash } from 'node:crypto';
import { parse as parseYaml } from 'yaml';
import { canonicalJson } from '../core/canonical.ts';
import type { Cluster, KubeObject } from '../core/cluster.ts';
import type { ProxyFacts } from '../core/inventory.ts';
import { LABEL_PART } from '../core/names.ts';
import { isRecord } from './kubeconfig-file.ts';

export interface Container {
  name: string;
  image?: string;
  command?: string[];
  args?: string[];
  volumeMounts?: { name: string; mountPath: string; subPath?: string }[];
}
interface Volume {
  name: string;
  configMap?: { name: string; items?: { key: string; path: string }[] };
}

const SYSTEM = 'kube-system';

/** The container that is kube-proxy; unless `strict`, the first one when none looks like it. */
export function proxyContainerOf(containers: readonly Container[], strict = false): Container | undefined {
  return (
    containers.find(c => c.name === 'kube-proxy') ??
    containers.find(c => words(c).some(isProxyProgram) || isProxyImage(c.image ?? '')) ??
    (strict ? undefined : containers[0])
  );
}

function words(container: Container): string[] {
  return [...(container.command ?? []), ...(container.args ?? [])];
}

function isProxyProgram(word: string): boolean {
  return /(^|\/)kube-proxy$/.test(word);
}

/** `registry.k8s.io/kube-proxy:v1.36.3`, `.../eks/kube-proxy-minimal@sha256:...`. */
function isProxyImage(image: string): boolean {
  return /(^|\/)kube-proxy(-[a-z0-9]+)*([:@]|$)/.test(image);
}

interface FoundDaemonSet {
  readonly chosen?: KubeObject;
  /** Further DaemonSets that run a kube-proxy on Linux nodes. */
  readonly more: readonly KubeObject[];
}

/** kube-proxy's own DaemonSet: by name, else by label, else by what it runs. Those that proxyctl made do not count. */
async function findDaemonSet(cluster: Cluster): Promise<FoundDaemonSet> {
  const candidates: { rank: number; object: KubeObject }[] = [];
  for await (const object of cluster.list('DaemonSet', { namespace: SYSTEM })) {
    if (object.metadata.labels?.[LABEL_PART] !== undefined) continue;
    const template = object.spec?.template ?? {};
    if (template.spec?.nodeSelector?.['kubernetes.io/os'] === 'windows') continue;
    const labels = { ...object.metadata.labels, ...template.metadata?.labels };
    if (object.metadata.name === 'kube-proxy') candidates.push({ rank: 0, object });
    else if (labels['k8s-app'] === 'kube-proxy') candidates.push({ rank: 1, object });
    else if (proxyContainerOf(template.spec?.containers ?? [], true)) candidates.push({ rank: 2, object });
  }
  const [first, ...rest] = candidates.toSorted((a, b) => a.rank - b.rank).map(c => c.object);
  return { ...(first ? { chosen: first } : {}), more: rest };
}

/** `owners` and `others` as documented in the type; static pods are added by who counts pods. */
export async function proxyFacts(cluster: Cluster): Promise<ProxyFacts> {
  const { chosen, more } = await findDaemonSet(cluster);
  const others = more.map(ds => `DaemonSet ${SYSTEM}/${ds.metadata.name}`);
  if (!chosen) return { owners: [], others };
  const template = chosen.spec.template;
  const container = proxyContainerOf(template.spec?.containers ?? []);
  const { configPath, flags } = flagsOf(container);
  const configMap = await configMapOf(cluster, template.spec?.volumes ?? [], container, configPath);
  return {
    daemonSet: {
      namespace: SYSTEM,
      name: chosen.metadata.name,
      uid: chosen.metadata.uid ?? '',
      generation: chosen.metadata.generation ?? 0,
      image: container?.image ?? '',
      updateStrategy: chosen.spec.updateStrategy?.type ?? 'RollingUpdate',
      templateHash: sha256(template),
      ...(configPath === undefined ? {} : { configPath }),
      flags,
    },
    ...(configMap ? { configMap: configMap.facts } : {}),
    owners: [...ownerSigns(chosen, 'DaemonSet'), ...(configMap ? ownerSigns(configMap.object, 'ConfigMap') : [])],
    others,
  };
}

function sha256(data: unknown): string {
  return createHash('sha256').update(canonicalJson(data)).digest('hex');
}

/** `--config X` and `--config=X`; the rest as it stands. */
function flagsOf(container: Container | undefined): { configPath?: string; flags: string[] } {
  if (!container) return { flags: [] };
  const all = words(container);
  const program = all.findIndex(isProxyProgram);
  const rest = all.slice(program >= 0 ? program + 1 : Math.min(container.command?.length ?? 0, 1));
  const at = rest.findIndex(word => word === '--config' || word.startsWith('--config='));
  if (at < 0) return { flags: rest };
  const apart = rest[at] === '--config';
  const configPath = apart ? rest[at + 1] : rest[at]?.slice('--config='.length);
  const flags = rest.toSpliced(at, apart ? 2 : 1);
  return configPath ? { configPath, flags } : { flags };
}

interface FoundConfigMap {
  readonly object: KubeObject;
  readonly facts: NonNullable<ProxyFacts['configMap']>;
}

async function configMapOf(
  cluster: Cluster,
  volumes: readonly Volume[],
  container: Container | undefined,
  configPath: string | undefined,
): Promise<FoundConfigMap | undefined> {
  const place = configPath && container ? placeOf(volumes, container, configPath) : undefined;
  if (!place) return undefined;
  const object = await cluster.get({ kind: 'ConfigMap', namespace: SYSTEM, name: place.configMap });
  const data = new Map<string, unknown>(Object.entries(object?.data ?? {}));
  const text = data.get(place.key);
  if (!object || typeof text !== 'string') return undefined;
  const apiServer = apiServerOf(data, text);
  const facts = {
    namespace: SYSTEM,
    name: place.configMap,
    uid: object.metadata.uid ?? '',
    key: place.key,
    text,
    hash: sha256(object.data),
    ...(apiServer === undefined ? {} : { apiServer }),
  };
  return { object, facts };
}

/** The ConfigMap and its key that hold the configuration which a kube-proxy is given with --config. */
export function configPlaceOf(
  volumes: readonly Volume[],
  container: Container,
): { configMap: string; key: string } | undefined {
  const { configPath } = flagsOf(container);
  return configPath === undefined ? undefined : placeOf(volumes, container, configPath);
}

/** Which ConfigMap and which of its keys stands behind a path in the container. */
function placeOf(
  volumes: readonly Volume[],
  container: Container,
  path: string,
): { configMap: string; key: string } | undefined {
  const mounts = (container.volumeMounts ?? []).filter(
    m => path === m.mountPath || path.startsWith(`${m.mountPath.replace(/\/$/, '')}/`),
  );
  const [mount] = mounts.toSorted((a, b) => b.mountPath.length - a.mountPath.length);
  const source = volumes.find(v => v.name === mount?.name)?.configMap;
  if (!mount || !source) return undefined;
  const inside = mount.subPath ?? path.slice(mount.mountPath.replace(/\/$/, '').length + 1);
  const key = source.items?.find(item => item.path === inside)?.key ?? inside.split('/').at(-1) ?? inside;
  return { configMap: source.name, key };
}

/** The kubeconfig that the configuration names, when it lies in the same ConfigMap, as kubeadm has it. */
function apiServerOf(data: ReadonlyMap<string, unknown>, config: string): string | undefined {
  const path = at(yamlOf(config), 'clientConnection', 'kubeconfig');
  const text = typeof path === 'string' ? data.get(path.split('/').at(-1) ?? '') : undefined;
  const clusters = typeof text === 'string' ? at(yamlOf(text), 'clusters') : undefined;
  const server = Array.isArray(clusters) ? at(clusters[0], 'cluster', 'server') : undefined;
  return typeof server === 'string' ? server : undefined;
}

/** Whatever cannot be read says nothing about the API server; the configuration itself is judged by a gate. */
function yamlOf(text: string): unknown {
  try {
    return parseYaml(text);
  } catch {
    return undefined;
  }
}

function at(value: unknown, ...path: string[]): unknown {
  return path.reduce<unknown>((inner, key) => (isRecord(inner) ? inner[key] : undefined), value);
}

const OWNER_LABELS = ['app.kubernetes.io/managed-by', 'addonmanager.kubernetes.io/mode', 'eks.amazonaws.com/component'];
const OWNER_PREFIXES = [
  'helm.sh/',
  'meta.helm.sh/',
  'argocd.argoproj.io/',
  'kustomize.toolkit.fluxcd.io/',
  'helm.toolkit.fluxcd.io/',
  'resources.gardener.cloud/',
  'kubernetes.azure.com/',
];
/** Field managers of tools that put back what others change; kubectl, kubeadm and the controllers do not. */
const OWNER_MANAGERS = /^(eks|argocd|flux|kustomize-controller|helm|(kube-)?addon-manager)/i;

/** The strongest sign first: ownerReferences, labels, annotations, field managers. */
function ownerSigns(object: KubeObject, kind: string): string[] {
  const { ownerReferences = [], labels = {}, annotations = {}, managedFields = [] } = object.metadata;
  const isSign = (key: string) => OWNER_LABELS.includes(key) || OWNER_PREFIXES.some(prefix => key.startsWith(prefix));
  const signs = [
    ...ownerReferences.map(owner => `owner ${owner.kind}/${owner.name}`),
    ...Object.entries(labels).flatMap(([key, value]) => (isSign(key) ? [`label ${key}=${value}`] : [])),
    ...Object.entries(annotations).flatMap(([key, value]) =>
      isSign(key) ? [`annotation ${key}=${value.slice(0, 100)}`] : [],
    ),
    ...managedFields.flatMap(({ manager = '' }) => (OWNER_MANAGERS.test(manager) ? [`field manager ${manager}`] : [])),
  ];
  return [...new Set(signs)].map(sign => `${sign} on ${kind}`);
}

/** Cilium serves Services itself: kube-proxy has nothing to do on its nodes. */
export async function ciliumReplacesProxy(cluster: Cluster): Promise<boolean> {
  const config = await cluster.get({ kind: 'ConfigMap', namespace: SYSTEM, name: 'cilium-config' });
  return ['true', 'strict'].includes(String(config?.data?.['kube-proxy-replacement']));
}
