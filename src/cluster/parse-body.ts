import type { KubeObject } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';

/** @throws ProxyctlError 69 for what is not JSON. */
export function parseBody<T = KubeObject>(body: string, path: string): T {
  try {
    return JSON.parse(body);
  } catch {
    // The parser's message repeats what it was given, so it is no cause to keep.
    const message = `the answer to ${path.split('?')[0]} is not JSON; is the server in the kubeconfig a Kubernetes API?`;
    throw new ProxyctlError(message, EXIT.unreachable);
  }
}
