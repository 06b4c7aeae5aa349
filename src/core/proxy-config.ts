// How a KubeProxyConfiguration is read. Only its parsed document is: the same YAML may be written in many ways, JSON among them.

/** The document as somebody wrote it: nothing in it has its type for certain. */
export type KubeProxyConfiguration = Readonly<Record<string, unknown>>;

/** A mapping in it, `ipvs`; empty for what is none. */
export function sectionOf(config: KubeProxyConfiguration | undefined, name: string): KubeProxyConfiguration {
  const value = config && Object.hasOwn(config, name) ? config[name] : undefined;
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

/** Empty for what is no text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Empty for what is no list. */
export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
