import { parseDocument } from 'yaml';

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

/** The KubeProxyConfiguration as plain data. Throws on text that is no mapping. */
export function parseConfig(text: string): Record<string, unknown> {
  const document = parseDocument(text, { stringKeys: true });
  const data: unknown = document.toJS({ maxAliasCount: 0 });
  if (document.errors.length > 0 || typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw new Error('not a YAML mapping');
  }
  return { ...data };
}
