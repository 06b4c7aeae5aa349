// One kubeconfig file, read and checked; and several of them merged as kubectl does.
import { createReadStream } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { EXIT, ProxyctlError } from '../core/errors.ts';

/** With certificates and keys in it a kubeconfig of a hundred clusters is not as large. */
const MOST_BYTES = 8 << 20;

/** A named cluster, user or context, with the file that it came from. */
export interface Entry {
  readonly name: string;
  readonly file: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface KubeconfigFile {
  readonly clusters: readonly Entry[];
  readonly users: readonly Entry[];
  readonly contexts: readonly Entry[];
  readonly currentContext?: string;
}

export function usageError(message: string, cause?: unknown): ProxyctlError {
  return new ProxyctlError(message, EXIT.usage, cause === undefined ? undefined : { cause });
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A path inside a kubeconfig is relative to the folder of that file. */
export function besideFile(file: string, path: string): string {
  return isAbsolute(path) ? path : join(dirname(resolve(file)), path);
}

/** @returns undefined when there is no such file. @throws ProxyctlError 64 when it cannot be read or is malformed. */
export async function readKubeconfigFile(file: string): Promise<KubeconfigFile | undefined> {
  let text: string;
  try {
    text = await readAtMost(file, MOST_BYTES);
  } catch (error) {
    if (error instanceof ProxyctlError) throw error;
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw usageError(`kubeconfig ${file} cannot be read: ${code}`, error);
  }
  return parseKubeconfig(file, text);
}

/** The system's word for an error, such as ENOENT. Its message may hold content, so it is not used. */
export function errorCode(error: unknown): string {
  if (isRecord(error) && typeof error.code === 'string') return error.code;
  return error instanceof Error ? error.name : typeof error;
}

/** @throws ProxyctlError 64 naming file, line and column, never the content, which may be a secret. */
function parseKubeconfig(file: string, text: string): KubeconfigFile {
  const lines = new LineCounter();
  const document = parsed(file, text, lines);
  const [error] = document.errors;
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    const sentence = error.message.split('\n')[0]?.split(':')[0] ?? '';
    throw usageError(`kubeconfig ${file}:${line}:${col}: ${sentence}`);
  }
  let root: unknown;
  try {
    root = document.toJS();
  } catch {
    // The parser's message may repeat what stands there.
    throw usageError(`kubeconfig ${file}: not plain YAML`);
  }
  // An empty file is an empty configuration, as for kubectl.
  if (root === null || root === undefined) return { clusters: [], users: [], contexts: [] };
  if (!isRecord(root)) throw usageError(`kubeconfig ${file}:1:1: not a kubeconfig, it holds no fields`);
  const current = root['current-context'];
  return {
    clusters: entries(file, root, 'clusters', 'cluster'),
    users: entries(file, root, 'users', 'user'),
    contexts: entries(file, root, 'contexts', 'context'),
    ...(typeof current === 'string' && current !== '' ? { currentContext: current } : {}),
  };
}

/** The parser descends recursively. */
function parsed(file: string, text: string, lineCounter: LineCounter): ReturnType<typeof parseDocument> {
  try {
    return parseDocument(text, { prettyErrors: false, lineCounter });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw usageError(`kubeconfig ${file}: is nested too deeply`);
  }
}

/** A pipe is read as well; a device without end is not. */
async function readAtMost(file: string, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of createReadStream(file)) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > most) throw usageError(`kubeconfig ${file}: is larger than the ${most >> 20} MB that are read`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function entries(file: string, root: Record<string, unknown>, list: string, field: string): Entry[] {
  const items = root[list] ?? [];
  if (!Array.isArray(items)) throw usageError(`kubeconfig ${file}: ${list} is not a list`);
  return items.map((item: unknown, index) => {
    const name = isRecord(item) ? item.name : undefined;
    if (!isRecord(item) || typeof name !== 'string')
      throw usageError(`kubeconfig ${file}: ${list}[${index}] has no name`);
    const fields = item[field] ?? {};
    if (!isRecord(fields)) throw usageError(`kubeconfig ${file}: ${list}[${index}].${field} holds no fields`);
    return { name, file, fields };
  });
}

/** The first file wins, for the current context and for whole entries of the same name. */
export function mergeKubeconfigs(files: readonly KubeconfigFile[]): KubeconfigFile {
  const current = files.find(f => f.currentContext !== undefined)?.currentContext;
  return {
    clusters: firstOfName(files.flatMap(f => f.clusters)),
    users: firstOfName(files.flatMap(f => f.users)),
    contexts: firstOfName(files.flatMap(f => f.contexts)),
    ...(current === undefined ? {} : { currentContext: current }),
  };
}

function firstOfName(all: readonly Entry[]): Entry[] {
  const byName = new Map<string, Entry>();
  for (const entry of all) if (!byName.has(entry.name)) byName.set(entry.name, entry);
  return [...byName.values()];
}
