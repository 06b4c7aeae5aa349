// What a server says is JSON, and of the shape that an API server gives it; or it is none.
import type { KubeObject } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { isRecord } from './kubeconfig-file.ts';

/** Any JSON object. @throws ProxyctlError 69 for what is none. */
export function parseRecord(body: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // The parser's message repeats what it was given, so it is no cause to keep.
    throw unlike(path, 'is not JSON');
  }
  if (!isRecord(value)) throw unlike(path, 'is no JSON object');
  return value;
}

/** An API object. @throws ProxyctlError 69. */
export function parseBody(body: string, path: string): KubeObject {
  return asObject(parseRecord(body, path), path);
}

/** @throws ProxyctlError 69 for what has no metadata. */
export function asObject(value: unknown, path: string): KubeObject {
  if (!isRecord(value) || !isRecord(value.metadata) || typeof value.metadata.name !== 'string')
    throw unlike(path, 'holds what is no API object');
  return value as KubeObject;
}

export function unlike(path: string, what: string): ProxyctlError {
  const message = `the answer to ${path.split('?')[0]} ${what}; is the server in the kubeconfig a Kubernetes API?`;
  return new ProxyctlError(message, EXIT.unreachable);
}
