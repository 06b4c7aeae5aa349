// What the API server fills in, as far as somebody can tell the difference.
import type { Kind, KubeObject } from '../core/cluster.ts';

type Loose = KubeObject['spec'];

const DEFAULTS: Partial<Record<Kind, (object: KubeObject) => void>> = {
  Pod: object => {
    object.spec ??= {};
    podSpec(object.spec);
    if (object.spec.serviceAccountName === undefined) object.spec.serviceAccountName = 'default';
    object.spec.serviceAccount = object.spec.serviceAccountName;
    object.status ??= { phase: 'Pending', qosClass: 'BestEffort' };
  },
  DaemonSet: object => {
    const spec = object.spec;
    fill(spec, { revisionHistoryLimit: 10, updateStrategy: { type: 'RollingUpdate' } });
    if (spec.updateStrategy.type === 'RollingUpdate') {
      spec.updateStrategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...spec.updateStrategy.rollingUpdate };
    }
    fill(spec.template, { metadata: {}, spec: {} });
    podSpec(spec.template.spec);
    object.status ??= { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };
  },
  Deployment: object => {
    const rollingUpdate = { maxUnavailable: '25%', maxSurge: '25%' };
    fill(object.spec, {
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate },
    });
    podSpec(object.spec.template.spec);
    object.status ??= {};
  },
  StatefulSet: object => {
    fill(object.spec, {
      replicas: 1,
      revisionHistoryLimit: 10,
      podManagementPolicy: 'OrderedReady',
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
    });
    podSpec(object.spec.template.spec);
    object.status ??= { replicas: 0 };
  },
  Namespace: object => {
    fill(object, { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } });
    object.metadata.labels = { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name };
  },
  Service: object => {
    const spec = object.spec;
    fill(spec, { type: 'ClusterIP', sessionAffinity: 'None', internalTrafficPolicy: 'Cluster', ports: [] });
    if (spec.type !== 'ClusterIP' && spec.type !== 'ExternalName') fill(spec, { externalTrafficPolicy: 'Cluster' });
    if (spec.clusterIP)
      fill(spec, { clusterIPs: [spec.clusterIP], ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' });
    if (spec.sessionAffinity === 'ClientIP')
      fill(spec, { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } });
    for (const port of spec.ports) fill(port, { protocol: 'TCP', targetPort: port.port });
    object.status ??= { loadBalancer: {} };
  },
};

/** Fills in what is missing, in place. Twice is once. */
export function applyDefaults(object: KubeObject): void {
  DEFAULTS[object.kind as Kind]?.(object);
}

function podSpec(spec: Loose): void {
  fill(spec, {
    containers: [],
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    schedulerName: 'default-scheduler',
    securityContext: {},
  });
  if (spec.serviceAccountName !== undefined) spec.serviceAccount = spec.serviceAccountName;
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
    const latest = !/:(?!latest$)[^/]+$/.test(container.image ?? '');
    fill(container, {
      imagePullPolicy: latest ? 'Always' : 'IfNotPresent',
      resources: {},
      terminationMessagePath: '/dev/termination-log',
      terminationMessagePolicy: 'File',
    });
    for (const variable of container.env ?? [])
      if (variable.valueFrom?.fieldRef) fill(variable.valueFrom.fieldRef, { apiVersion: 'v1' });
  }
  for (const volume of spec.volumes ?? []) {
    if (volume.configMap) fill(volume.configMap, { defaultMode: 420 });
    if (volume.hostPath) fill(volume.hostPath, { type: '' });
  }
}

function fill(target: Loose, values: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(values))
    if (target[key] === undefined) target[key] = structuredClone(value);
}
