// Which cluster, as whom: kubectl's rules. client-node's own loader takes the last file's context where kubectl takes the first.
import { access, constants, readFile } from 'node:fs/promises';
import { delimiter, join, sep } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Cluster, User } from '@kubernetes/client-node/dist/config_types.js';
import { type ExecPlugin, PLUGIN_APIS } from './exec-plugin.ts';
import {
  besideFile,
  type Entry,
  errorCode,
  isRecord,
  type KubeconfigFile,
  mergeKubeconfigs,
  readKubeconfigFile,
  usageError,
} from './kubeconfig-file.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export interface KubeconfigOptions {
  /** Path given with `--kubeconfig`; then nothing else is looked at. */
  kubeconfig?: string;
  context?: string;
  env: Env;
}

export interface LoadedKubeconfig {
  /** One cluster, one user, one context. */
  readonly kubeConfig: KubeConfig;
  readonly context: string;
  /** URL for people and for messages: without credentials. */
  readonly server: string;
  /** Gives the user's credentials; client-node knows nothing of it. */
  readonly plugin?: ExecPlugin;
  /** Impersonation beyond the user name, which client-node leaves out. */
  readonly headers: Readonly<Record<string, string[]>>;
}

const INTERACTIVE_MODES = ['Never', 'IfAvailable', 'Always'] as const;
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** @throws ProxyctlError 64 with one line that names the file and what is wrong in it. */
export async function loadKubeconfig(options: KubeconfigOptions): Promise<LoadedKubeconfig> {
  const paths = candidates(options);
  const files: KubeconfigFile[] = [];
  const found: string[] = [];
  for (const path of paths) {
    const file = await readKubeconfigFile(path);
    if (!file) continue;
    files.push(file);
    found.push(path);
  }
  if (files.length === 0) {
    if (options.kubeconfig !== undefined) throw usageError(`kubeconfig ${options.kubeconfig} does not exist`);
    if (options.env.KUBECONFIG)
      throw usageError(`no kubeconfig: KUBECONFIG names ${paths.join(', ')}, which does not exist`);
    if (options.env.KUBERNETES_SERVICE_HOST) return inCluster(options.env);
    throw usageError(
      `no kubeconfig: ${paths.join(', ') || '~/.kube/config'} does not exist; set --kubeconfig or KUBECONFIG`,
    );
  }
  return select(mergeKubeconfigs(files), found, options.context);
}

function candidates({ kubeconfig, env }: KubeconfigOptions): string[] {
  if (kubeconfig !== undefined) return [kubeconfig];
  if (env.KUBECONFIG) return [...new Set(env.KUBECONFIG.split(delimiter).filter(path => path !== ''))];
  const home = env.HOME || env.USERPROFILE;
  return home ? [join(home, '.kube', 'config')] : [];
}

async function select(merged: KubeconfigFile, paths: string[], wanted: string | undefined): Promise<LoadedKubeconfig> {
  const where = paths.join(', ');
  const known = `known contexts: ${merged.contexts.map(c => c.name).join(', ') || 'none'}`;
  const name = wanted ?? merged.currentContext;
  if (name === undefined) throw usageError(`no current-context in ${where}; choose one with --context (${known})`);
  const context = merged.contexts.find(c => c.name === name);
  if (!context) throw usageError(`context "${name}" is not in ${where}; ${known}`);
  const clusterName = text(context, 'cluster');
  const cluster = merged.clusters.find(c => c.name === clusterName);
  if (!cluster)
    throw usageError(`context "${name}" names the cluster "${clusterName ?? ''}", which is not in ${where}`);
  const userName = text(context, 'user');
  const user = merged.users.find(u => u.name === userName);
  if (!user && userName) throw usageError(`context "${name}" names the user "${userName}", which is not in ${where}`);
  const madeCluster = clusterOf(cluster);
  const made = { cluster: madeCluster, user: user ? userOf(user) : { name: 'anonymous' } };
  for (const path of [made.cluster.caFile, made.user.certFile, made.user.keyFile])
    if (path) await mustBeReadable(path, name);
  const exec = user?.fields.exec;
  const plugin = user && isRecord(exec) ? pluginOf(user, exec, await clusterInfo(cluster, madeCluster)) : undefined;
  const headers = user ? impersonation(user) : {};
  return { ...loaded(made.cluster, made.user, name, headers), ...(plugin ? { plugin } : {}) };
}

async function mustBeReadable(path: string, context: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (error) {
    throw usageError(`context "${context}" needs the file ${path}: ${errorCode(error)}`, error);
  }
}

function loaded(cluster: Cluster, user: User, context: string, headers: Record<string, string[]>): LoadedKubeconfig {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromOptions({
    clusters: [cluster],
    users: [user],
    contexts: [{ name: context, cluster: cluster.name, user: user.name }],
    currentContext: context,
  });
  const url = new URL(cluster.server);
  return { kubeConfig, context, server: `${url.origin}${url.pathname.replace(/\/$/, '')}`, headers };
}

function clusterOf(entry: Entry): Cluster {
  const server = text(entry, 'server');
  const url = URL.parse(server ?? '');
  if (!server || !url || !/^https?:$/.test(url.protocol)) {
    throw usageError(
      `cluster "${entry.name}" in ${entry.file}: server must be a URL that begins with https:// or http://`,
    );
  }
  return {
    name: entry.name,
    server,
    // client-node refuses plain http without it; there is no TLS to verify then.
    skipTLSVerify: url.protocol === 'http:' || entry.fields['insecure-skip-tls-verify'] === true,
    ...dataOrFile(entry, 'certificate-authority', 'caData', 'caFile'),
    ...optional('tlsServerName', text(entry, 'tls-server-name')),
    ...optional('proxyUrl', text(entry, 'proxy-url')),
  };
}

function userOf(entry: Entry): User {
  const tokenFile = text(entry, 'tokenFile');
  const provider = entry.fields['auth-provider'];
  return {
    name: entry.name,
    ...dataOrFile(entry, 'client-certificate', 'certData', 'certFile'),
    ...dataOrFile(entry, 'client-key', 'keyData', 'keyFile'),
    ...optional('username', text(entry, 'username')),
    ...optional('password', text(entry, 'password')),
    ...optional('impersonateUser', text(entry, 'as')),
    // The file wins over the token, and is read again while we run.
    ...optional('token', tokenFile ? undefined : text(entry, 'token')),
    ...(isRecord(provider) ? { authProvider: provider } : {}),
    ...(tokenFile ? { authProvider: tokenFileProvider(besideFile(entry.file, tokenFile)) } : {}),
  };
}

function tokenFileProvider(tokenFile: string) {
  return { name: 'tokenFile', config: { tokenFile } };
}

function pluginOf(entry: Entry, exec: Record<string, unknown>, cluster: Record<string, unknown>): ExecPlugin {
  const { command, apiVersion, interactiveMode, installHint } = exec;
  const wrong = (what: string) => usageError(`user "${entry.name}" in ${entry.file}: exec ${what}`);
  if (typeof command !== 'string' || command === '') throw wrong('has no command');
  const api = PLUGIN_APIS.find(known => known === apiVersion);
  if (!api) throw wrong(`speaks ${apiVersion ?? 'no apiVersion'}; known are ${PLUGIN_APIS.join(' and ')}`);
  const mode = INTERACTIVE_MODES.find(known => known === (interactiveMode ?? 'IfAvailable'));
  if (!mode) throw wrong(`has interactiveMode ${interactiveMode}; known are ${INTERACTIVE_MODES.join(', ')}`);
  return {
    apiVersion: api,
    // A bare name is looked up on PATH; a path is relative to its file.
    command: command.includes('/') || command.includes(sep) ? besideFile(entry.file, command) : command,
    args: Array.isArray(exec.args) ? exec.args.map(String) : [],
    env: Object.fromEntries((Array.isArray(exec.env) ? exec.env : []).map(e => [String(e?.name), String(e?.value)])),
    interactiveMode: mode,
    ...(typeof installHint === 'string' ? { installHint } : {}),
    ...(exec.provideClusterInfo === true ? { cluster } : {}),
  };
}

/** What a plugin may want to know: no file names, since it cannot know what they are relative to. */
async function clusterInfo(entry: Entry, cluster: Cluster): Promise<Record<string, unknown>> {
  const ca = cluster.caFile === undefined ? cluster.caData : (await readFile(cluster.caFile)).toString('base64');
  const { extensions } = entry.fields;
  const own = Array.isArray(extensions)
    ? extensions.find(e => e?.name === 'client.authentication.k8s.io/exec')
    : undefined;
  return {
    server: cluster.server,
    ...optional('tls-server-name', cluster.tlsServerName),
    ...(cluster.skipTLSVerify ? { 'insecure-skip-tls-verify': true } : {}),
    ...optional('certificate-authority-data', ca),
    ...optional('proxy-url', cluster.proxyUrl),
    ...(own === undefined ? {} : { config: own.extension }),
  };
}

function impersonation(entry: Entry): Record<string, string[]> {
  const headers: Record<string, string[]> = {};
  const groups = entry.fields['as-groups'];
  if (Array.isArray(groups)) headers['Impersonate-Group'] = groups.map(String);
  const uid = text(entry, 'as-uid');
  if (uid) headers['Impersonate-Uid'] = [uid];
  const extra = entry.fields['as-user-extra'];
  for (const [key, values] of Object.entries(isRecord(extra) ? extra : {})) {
    headers[`Impersonate-Extra-${encodeURIComponent(key)}`] = Array.isArray(values)
      ? values.map(String)
      : [String(values)];
  }
  return headers;
}

/** kubectl: inline data wins over a file. */
function dataOrFile<D extends string, F extends string>(entry: Entry, field: string, data: D, file: F) {
  const inline = text(entry, `${field}-data`);
  const path = inline ? undefined : text(entry, field);
  return { ...optional(data, inline), ...optional(file, path && besideFile(entry.file, path)) };
}

function text(entry: Entry, field: string): string | undefined {
  const value = entry.fields[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function optional<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  const made: Partial<Record<string, string>> = value === undefined ? {} : { [key]: value };
  return made as Partial<Record<K, string>>;
}

async function inCluster(env: Env): Promise<LoadedKubeconfig> {
  const host = env.KUBERNETES_SERVICE_HOST ?? '';
  const port = env.KUBERNETES_SERVICE_PORT ?? '443';
  const tokenFile = `${SERVICE_ACCOUNT}/token`;
  const caFile = `${SERVICE_ACCOUNT}/ca.crt`;
  for (const path of [tokenFile, caFile]) await mustBeReadable(path, 'in-cluster');
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const cluster: Cluster = { name: 'in-cluster', server, caFile, skipTLSVerify: false };
  return loaded(cluster, { name: 'in-cluster', authProvider: tokenFileProvider(tokenFile) }, 'in-cluster', {});
}
