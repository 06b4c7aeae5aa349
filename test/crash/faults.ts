// What goes wrong by seed. Each strikes, and is over when what it gives is called.
import type { KubeObject } from '../../src/core/cluster.ts';
import { MODES } from '../../src/core/mode.ts';
import { LABEL_MODE } from '../../src/core/names.ts';
import type { ApiFault } from '../../src/sim/api-faults.ts';
import type { Random } from '../../src/sim/random.ts';
import type { Bed } from './bed.ts';
import { deleteDaemonSet, makeDaemonSet } from './meddling.ts';

type Clear = () => void;

export interface FaultKind {
  readonly id: string;
  readonly strike: (bed: Bed, random: Random) => Clear;
  /** Somebody else changed kube-proxy's own objects or the set of nodes: what stood before is no measure of the end. */
  readonly foreign?: boolean;
  /** By it kube-proxies may come up in another mode, and stay there until somebody sees to it: a run may halt for good. */
  readonly flips?: boolean;
}

const NOTHING: Clear = () => {};
const WRITES = ['create', 'patch', 'delete'] as const;

function api(...kind: ApiKind): FaultKind {
  return { id: `api ${kind[0]}`, strike: ({ sim }, random) => sim.fault.api(apiFault(kind, random)) };
}

/** One of a kind, by seed: how often and how many times is chance, too. */
export function apiFault([, make]: ApiKind, random: Random): ApiFault {
  return { every: 1 + random.int(6), times: 1 + random.int(25), ...make(random) };
}

function node(bed: Bed, random: Random): string {
  return random.pick(bed.sim.nodes).name;
}

function onNode(id: string, strike: (bed: Bed, name: string, random: Random) => Clear): FaultKind {
  return {
    id,
    strike(bed, random) {
      const name = node(bed, random);
      const clear = strike(bed, name, random);
      // The node may have left meanwhile, and its trouble with it.
      return () => {
        if (bed.sim.nodes.some(n => n.name === name)) clear();
      };
    },
  };
}

function edit(bed: Bed, kind: 'ConfigMap' | 'DaemonSet', change: (copy: KubeObject) => void): Clear {
  bed.sim.store.mutate(kind, 'kube-system', 'kube-proxy', change);
  return NOTHING;
}

/** A Service's rules are deleted behind kube-proxy's back: they are looked for no more. */
function silence(bed: Bed, name: string, random: Random): Clear {
  const { service } = random.pick(bed.sim.services().ports);
  bed.checker.excused.add(service);
  return bed.sim.fault.silentService(name, service);
}

/** A pod of some kube-proxy ends and comes again, as after an eviction or a crash; on this node or on any. */
export function restart({ sim }: Bed, random: Random, on?: string): void {
  const pods = sim.store
    .list('Pod', 'kube-system')
    .filter(p => p.metadata.ownerReferences?.some(o => o.controller && o.name.startsWith('kube-proxy')))
    .filter(p => on === undefined || p.spec.nodeName === on);
  if (pods.length === 0) return;
  const { metadata } = random.pick(pods);
  sim.registry.delete({ kind: 'Pod', namespace: 'kube-system', name: metadata.name }, {});
}

/** Puts the DaemonSet's strategy and template back some seconds after anybody changed it. */
function gitOps({ sim }: Bed): Clear {
  const original = sim.store.get('DaemonSet', 'kube-system', 'kube-proxy');
  if (!original) return NOTHING;
  let over = false;
  const stop = sim.store.subscribe(({ kind, type, object, before }) => {
    if (kind !== 'DaemonSet' || type !== 'MODIFIED' || object.metadata.name !== 'kube-proxy') return;
    if (JSON.stringify(object.spec) === JSON.stringify(before?.spec)) return;
    setTimeout(() => {
      if (!over)
        sim.store.mutate('DaemonSet', 'kube-system', 'kube-proxy', copy => {
          copy.spec = original.spec;
        });
    }, 5000);
  });
  return () => {
    over = true;
    stop();
  };
}

/** Somebody edits the text of the shared configuration; what is given undoes it, if nobody has been there since. */
function editConfig({ sim, checker }: Bed, change: (text: string) => string): Clear {
  const write = (from: string, to: string) =>
    sim.store.mutate('ConfigMap', 'kube-system', 'kube-proxy', copy => {
      if (copy.data['config.conf'] === from) copy.data['config.conf'] = to;
    });
  const was = String(sim.store.get('ConfigMap', 'kube-system', 'kube-proxy')?.data['config.conf']);
  const is = change(was);
  checker.usurped = true;
  write(was, is);
  return () => void write(is, was);
}

/** Puts the ConfigMap's text back some seconds after anybody changed it. */
function gitOpsOfConfig({ sim, checker }: Bed): Clear {
  const { data } = sim.registry.read({ kind: 'ConfigMap', namespace: 'kube-system', name: 'kube-proxy' });
  let over = false;
  const stop = sim.store.subscribe(({ kind, type, object }) => {
    if (kind !== 'ConfigMap' || type !== 'MODIFIED' || object.metadata.name !== 'kube-proxy') return;
    if (object.data['config.conf'] === data['config.conf']) return;
    setTimeout(() => {
      if (over) return;
      checker.usurped = true;
      sim.store.mutate('ConfigMap', 'kube-system', 'kube-proxy', copy => {
        copy.data = data;
      });
    }, 5000);
  });
  return () => {
    over = true;
    stop();
  };
}

/** `kubeadm upgrade` writes kube-proxy's objects as it ships them, with the next image, and rolls them out. */
function kubeadmUpgrade({ sim, checker, shipped }: Bed): Clear {
  checker.usurped = true;
  sim.store.mutate('DaemonSet', 'kube-system', 'kube-proxy', copy => {
    copy.spec = structuredClone(shipped.spec);
    for (const container of copy.spec.template.spec.containers) container.image = container.image.replace(/\d+$/, '9');
    copy.metadata.generation = (copy.metadata.generation ?? 0) + 1;
  });
  return NOTHING;
}

/** A webhook leaves our label as it was. */
export function dropLabels({ sim }: Pick<Bed, 'sim'>): Clear {
  return sim.fault.requests.webhook((object, before) => {
    if (object.kind !== 'Node') return object;
    const { [LABEL_MODE]: _dropped, ...labels } = object.metadata.labels ?? {};
    const was = before.metadata.labels?.[LABEL_MODE];
    const kept = was === undefined ? labels : { ...labels, [LABEL_MODE]: was };
    return { ...object, metadata: { ...object.metadata, labels: kept } };
  });
}

/** Not Ready for half of the time. */
function flap({ sim }: Bed, name: string): Clear {
  let rise: Clear | undefined;
  const stop = repeatedly(10_000, () => {
    if (!sim.nodes.some(node => node.name === name)) return;
    if (rise) rise();
    rise = rise ? undefined : sim.fault.nodeNotReady(name);
  });
  return () => {
    stop();
    rise?.();
  };
}

function repeatedly(ms: number, action: () => void): Clear {
  const timer = setInterval(action, ms);
  return () => clearInterval(timer);
}

type ApiKind = readonly [id: string, make: (random: Random) => Omit<ApiFault, 'every'>];

/** What an API server does to requests. */
export const API_ERRORS: readonly ApiKind[] = [
  ['409', random => ({ status: 409, verb: random.pick(WRITES) })],
  ['429', () => ({ status: 429 })],
  ['429 without Retry-After', () => ({ status: 429, retryAfter: '' })],
  ['429 for long', () => ({ status: 429, retryAfter: '30' })],
  ['500', () => ({ status: 500 })],
  ['503', () => ({ status: 503 })],
  ['504', () => ({ status: 504 })],
  ['410', () => ({ status: 410, verb: 'list' })],
  ['410 to a watch', () => ({ status: 410, verb: 'watch' })],
  ['reset', () => ({ reset: true })],
  ['lost answer', () => ({ lostAnswer: true })],
  ['lost answer to a write', random => ({ lostAnswer: true, verb: random.pick(WRITES) })],
  ['truncated', () => ({ truncated: true })],
  ['truncated list', () => ({ truncated: true, verb: 'list' })],
  ['slow', random => ({ delayMs: 500 + random.int(5000) })],
  ['timeout', () => ({ delayMs: 20_000, times: 4 })],
];

/** Credentials or a right that it takes for none. */
export const API_DENIALS: readonly ApiKind[] = [
  ['401', () => ({ status: 401, times: 3 })],
  ['403', random => ({ status: 403, verb: random.pick([...WRITES, 'get', 'list'] as const) })],
];

export const FAULT_KINDS: readonly FaultKind[] = [
  ...API_ERRORS.map(kind => api(...kind)),
  api('webhook denies', random => ({ status: 403, verb: 'patch', resource: random.pick(['nodes', 'daemonsets']) })),
  { id: 'api webhook drops labels', strike: dropLabels },
  { id: 'api watches are late', strike: ({ sim }, random) => sim.fault.lateWatches(1000 + random.int(30_000)) },
  {
    id: 'api watches are silent',
    strike: ({ sim }) => sim.fault.lateWatches(Number.POSITIVE_INFINITY),
  },
  ...API_DENIALS.map(kind => api(...kind)),
  { id: 'api away', strike: ({ sim }) => sim.fault.api({ every: 1, reset: true }) },
  onNode('not ready', ({ sim }, name) => sim.fault.nodeNotReady(name)),
  onNode('node flaps', flap),
  onNode('pressure', ({ sim }, name) => sim.fault.memoryPressure(name)),
  onNode('reboot', (bed, name) => {
    bed.checker.rebooted(name);
    bed.sim.reboot(name);
    return NOTHING;
  }),
  onNode('cordon', ({ sim }, name) => {
    const set = (value: boolean) =>
      sim.store.mutate('Node', undefined, name, copy => {
        if (value) copy.spec = { ...copy.spec, unschedulable: true };
        else delete copy.spec.unschedulable;
      });
    set(true);
    return () => void set(false);
  }),
  {
    id: 'node joins',
    foreign: true,
    strike: ({ sim, checker }, random) => {
      const name = `joined-${random.int(1000)}`;
      checker.rebooted(name);
      if (!sim.nodes.some(n => n.name === name)) sim.addNode(name);
      return NOTHING;
    },
  },
  {
    id: 'node leaves',
    foreign: true,
    strike: (bed, random) => {
      const name = workerOf(bed, random);
      if (name !== undefined && bed.sim.nodes.length > 2) bed.sim.removeNode(name);
      return NOTHING;
    },
  },
  {
    id: 'node made anew',
    foreign: true,
    strike: (bed, random) => {
      const name = workerOf(bed, random);
      if (name === undefined) return NOTHING;
      bed.sim.removeNode(name);
      bed.checker.rebooted(name);
      setTimeout(() => {
        if (!bed.sim.nodes.some(n => n.name === name)) bed.sim.addNode(name);
      }, 2000);
      return NOTHING;
    },
  },
  { id: 'controller slow', strike: ({ sim }, random) => sim.fault.slowController(1000 + random.int(20_000)) },
  { id: 'controller down', strike: ({ sim }) => sim.fault.slowController(60_000) },
  {
    id: 'image missing',
    strike: ({ sim }, random) => {
      const images = [
        ...new Set(sim.store.list('Pod').flatMap(p => p.spec.containers.map((c: { image: string }) => c.image))),
      ];
      const image = String(random.pick(images.filter(i => /kube-proxy|watcher/.test(String(i)))));
      sim.fault.missingImages.add(image);
      return () => void sim.fault.missingImages.delete(image);
    },
  },
  onNode('crash loop in the new mode', ({ sim, options }, name) => sim.fault.crashLoop(options.to, name)),
  onNode('crash loop in the old mode', ({ sim, options }, name) => sim.fault.crashLoop(options.mode, name)),
  onNode('no nft', ({ sim }, name) => sim.fault.noNft(name)),
  onNode('syncs fail', ({ sim }, name) => sim.fault.failSync(name)),
  onNode('frozen kube-proxy', ({ sim }, name) => sim.fault.freezeProxy(name)),
  onNode('silent Service', silence),
  onNode('conntrack full', ({ sim }, name) => sim.fault.conntrackFill(name, 0.8)),
  {
    id: 'kube-proxies restart',
    strike: (bed, random) => repeatedly(3000 + random.int(9000), () => restart(bed, random)),
  },
  {
    id: 'ConfigMap edited',
    foreign: true,
    strike: bed =>
      edit(bed, 'ConfigMap', copy => {
        copy.data = { ...copy.data, note: 'somebody was here' };
      }),
  },
  {
    id: 'DaemonSet edited',
    foreign: true,
    strike: bed =>
      edit(bed, 'DaemonSet', copy => {
        copy.metadata.labels = { ...copy.metadata.labels, 'somebody.example/was': 'here' };
      }),
  },
  {
    id: 'ConfigMap says another mode',
    foreign: true,
    flips: true,
    strike: (bed, random) =>
      editConfig(bed, text =>
        text.replace(/^mode:.*$/m, `mode: ${random.pick(MODES.filter(m => m !== bed.options.mode))}`),
      ),
  },
  {
    id: 'DaemonSet deleted',
    foreign: true,
    strike: (bed, random) => {
      deleteDaemonSet(bed, random.int(2) === 0);
      return () => makeDaemonSet(bed);
    },
  },
  {
    id: 'DaemonSet made anew',
    foreign: true,
    strike: (bed, random) => {
      deleteDaemonSet(bed);
      setTimeout(() => makeDaemonSet(bed), random.int(10_000));
      return NOTHING;
    },
  },
  { id: 'GitOps reverts', foreign: true, strike: gitOps },
  { id: 'GitOps reverts the ConfigMap', foreign: true, flips: true, strike: gitOpsOfConfig },
  { id: 'kubeadm upgrade', foreign: true, strike: kubeadmUpgrade },
  {
    id: 'clock jumps',
    strike: ({ machine }, random) => {
      machine.clockError = random.pick([-3_600_000, 3_600_000]);
      return () => {
        machine.clockError = 0;
      };
    },
  },
];

function workerOf({ sim }: Bed, random: Random): string | undefined {
  const [worker] = random.sample(
    sim.nodes.filter(n => n.name !== 'cp-1'),
    1,
  );
  return worker?.name;
}
