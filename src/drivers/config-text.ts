import { parseDocument } from 'yaml';
import { EXIT, ProxyctlError } from '../core/errors.ts';

export interface ConfigEdit {
  path: readonly string[];
  value: unknown;
}

/** The configuration text with the edits made in place: comments, order and everything else stay as they are. */
export function editConfig(text: string, edits: readonly ConfigEdit[]): string {
  const document = parseDocument(text);
  for (const { path, value } of edits) document.setIn(path, value);
  const edited = document.toString({ lineWidth: 0 });
  return text.endsWith('\n') ? edited : edited.replace(/\n$/, '');
}

/** The KubeProxyConfiguration as plain data. @throws ProxyctlError 20 for text that is no mapping: anybody may have edited it. */
export function parseConfig(text: string): Record<string, unknown> {
  const data = mappingIn(text);
  if (data) return data;
  const message =
    "kube-proxy's configuration is no YAML mapping that can be read; mend it in the ConfigMap that --config names";
  throw new ProxyctlError(message, EXIT.findings);
}

/** The same; undefined for text that is no mapping. */
export function mappingIn(text: string): Record<string, unknown> | undefined {
  const data = plainData(text);
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? { ...data } : undefined;
}

/** Undefined for what is not YAML, has aliases or is nested too deeply. */
function plainData(text: string): unknown {
  try {
    const document = parseDocument(text, { stringKeys: true });
    return document.errors.length > 0 ? undefined : document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    if (error instanceof RangeError || error instanceof ReferenceError) return undefined;
    throw error;
  }
}
