// What may be a secret stays out of a run's record: values of environment variables, and all of the ConfigMap but kube-proxy's
// configuration. They stand in the cluster's own objects, and are taken from there again.
import type { KubeObject } from './cluster.ts';
import type { Originals } from './driver.ts';
import { EXIT, ProxyctlError } from './errors.ts';

interface Variable {
  name: string;
  value?: string;
  withheld?: true;
}
interface Container {
  name: string;
  env?: Variable[];
}

/** The originals as they may be written down. */
export function withhold(originals: Originals): Originals {
  const { daemonSet, configMap, configKey } = originals;
  const withheld = structuredClone(daemonSet);
  for (const { env = [] } of containersOf(withheld)) {
    for (const variable of env) {
      if (variable.value === undefined) continue;
      delete variable.value;
      variable.withheld = true;
    }
  }
  return {
    ...originals,
    daemonSet: withheld,
    configMap: { ...configMap, data: { [configKey]: configMap.data[configKey] } },
  };
}

/**
 * The originals as they were, by the cluster's own objects as they are: a value is that of the first DaemonSet which has it.
 * @throws ProxyctlError 24 when a value is there no more.
 */
export function complete(recorded: Originals, daemonSets: readonly KubeObject[], configMap: KubeObject): Originals {
  const completed = structuredClone(recorded.daemonSet);
  for (const container of containersOf(completed)) {
    const known = daemonSets.map(set => containersOf(set).find(({ name }) => name === container.name)?.env ?? []);
    for (const [index, variable] of (container.env ?? []).entries()) {
      if (!variable.withheld) continue;
      const values = known.map(
        env => (env[index]?.name === variable.name ? env[index] : named(env, variable.name))?.value,
      );
      const value = values.find(one => one !== undefined);
      if (value === undefined) throw lost(recorded.daemonSet, container.name, variable.name);
      delete variable.withheld;
      variable.value = value;
    }
  }
  const data = { ...configMap.data, ...recorded.configMap.data };
  return { ...recorded, daemonSet: completed, configMap: { ...recorded.configMap, data } };
}

function named(env: readonly Variable[], wanted: string): Variable | undefined {
  return env.find(({ name }) => name === wanted);
}

function containersOf({ spec }: KubeObject): Container[] {
  const { containers = [], initContainers = [] } = spec.template.spec;
  return [...containers, ...initContainers];
}

function lost({ metadata }: KubeObject, container: string, variable: string): ProxyctlError {
  const where = `container ${container} of DaemonSet ${metadata.namespace}/${metadata.name}`;
  const message = `${where} has lost the value of ${variable}, which the run's record does not keep because it may be a secret`;
  return new ProxyctlError(`${message}; set it there again, then call again`, EXIT.stalePlan);
}
