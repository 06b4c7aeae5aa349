// Bugs that somebody could make in the executor. `find` stands once in the file; `why` says what it would do to a cluster.

export interface Mutant {
  readonly id: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly why: string;
}

const FLIP = 'src/run/flip.ts';
const MIGRATE = 'src/run/migrate.ts';
const BACK = 'src/run/give-back.ts';
const DRIVER = 'src/drivers/daemonset/driver.ts';
const OBJECTS = 'src/drivers/daemonset/objects.ts';
const JOURNAL = 'src/run/journal-file.ts';
const ENGINE = 'src/run/engine.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    id: 'release on faith',
    file: FLIP,
    find: "await step(flip, 'prove', () => prove(flip, asked, 'beside the old one'));",
    replace: "await step(flip, 'prove', async () => void asked);",
    why: 'the old kube-proxy goes before anybody knows that the new mode serves',
  },
  {
    id: 'no look at the flipped node',
    file: FLIP,
    find: "await step(flip, 'verify', () => gates(flip, 'after-node', 'main', asked));",
    replace: "await step(flip, 'verify', async () => undefined);",
    why: 'a node that does not serve counts as flipped',
  },
  {
    id: 'no look after the soak',
    file: FLIP,
    find: "  if (said === 0) return;\n  await gates(flip, 'after-node', 'main', asked);",
    replace: '  if (said === 0) return;',
    why: 'what broke during the soak goes unseen',
  },
  {
    id: 'done before it is',
    file: FLIP,
    find: '  try {\n    await settle();',
    replace: "  await driver.mark(run, node, 'done');\n  try {\n    await settle();",
    why: 'a crash before the gates leaves a node that nobody looks at again',
  },
  {
    id: 'a left warm kube-proxy is too old to believe',
    file: FLIP,
    find: "=== 'running' ? undefined : watch.now()",
    replace: "=== 'running' ? watch.now() : watch.now()",
    why: 'a run that was killed beside a warm kube-proxy cannot go on',
  },
  {
    id: 'the old writer was last',
    file: FLIP,
    find: '    await engine.driver.cool(engine.run, node);\n    await engine.driver.warm(engine.run, node);\n    await prove(',
    replace: '    await prove(',
    why: 'between iptables and ipvs the chains hold what the old kube-proxy wrote last',
  },
  {
    id: 'called off over foreign chains',
    file: FLIP,
    find: '  if (sharesChains(from, to)) await driver.restart(run, name);\n',
    replace: '',
    why: 'the rules of the old mode do not come back before those of the new one go',
  },
  {
    id: 'never sweep ahead',
    file: FLIP,
    find: 'needsSweep(node.from, node.to) && !alone ?',
    replace: 'needsSweep(node.from, node.to) && alone ?',
    why: 'ipvs stays behind on the way to nftables',
  },
  {
    id: 'never sweep between iptables and ipvs',
    file: FLIP,
    find: 'await proveAlone(flip).then(() => sweepBehind(flip))',
    replace: 'await proveAlone(flip).then(() => undefined)',
    why: 'frozen rules of the old mode act on',
  },
  {
    id: 'a red node stays',
    file: FLIP,
    find: '    await back(flip);\n    throw error;',
    replace: '    throw error;',
    why: 'a node that failed its gates is left in the new mode',
  },
  {
    id: 'intent after effect',
    file: FLIP,
    find: "  journal.append({ event: 'step-intended', ...at, to: flip.node.to });\n  const begun = run.clock.monotonic();\n  let result: T;\n  try {\n    result = await perform();",
    replace:
      "  const begun = run.clock.monotonic();\n  let result: T;\n  try {\n    result = await perform();\n    journal.append({ event: 'step-intended', ...at, to: flip.node.to });",
    why: 'a crash leaves an effect that the journal knows nothing of',
  },
  {
    id: 'no look before',
    file: FLIP,
    find: "    await gates(flip, 'before-node', 'main', undefined);",
    replace: '    await Promise.resolve();',
    why: 'a node that was ill before is flipped',
  },
  {
    id: 'a way back without a look',
    file: FLIP,
    find: 'all.filter(gate => READINESS.has(gate.id))',
    replace: 'all.filter(gate => READINESS.has(gate.title))',
    why: 'a rollback releases before the old mode is ready',
  },
  {
    id: 'the mode of a flipped node is forgotten',
    file: FLIP,
    find: '  engine.expectedModes.set(node.name, node.to);\n',
    replace: '',
    why: 'the gates after the batch see a node in the wrong mode',
  },
  {
    id: 'labelled is done',
    file: MIGRATE,
    find: "modeLabel(object) === run.plan.to && state?.step === 'done'",
    replace: "modeLabel(object) === run.plan.to && state?.step !== 'warm'",
    why: 'a crash between hand-over and gates skips the gates',
  },
  {
    id: 'gates only after what was flipped now',
    file: MIGRATE,
    find: 'if (flipped || !passed) {',
    replace: 'if (flipped) {',
    why: 'a crash between the last flip of a batch and its gates skips them',
  },
  {
    id: 'gates of a passed batch see the node in hand',
    file: MIGRATE,
    find: 'if (flipped || !passed) {',
    replace: 'if (flipped || !passed || passed) {',
    why: 'a run that was killed in its second batch cannot go on',
  },
  {
    id: 'no gates after a batch',
    file: MIGRATE,
    find: '          await judgeUntilPassed(engine, questions(engine, before));\n',
    replace: '',
    why: 'the next batch begins whatever became of this one',
  },
  {
    id: 'any node of that name',
    file: MIGRATE,
    find: 'if (!object || object.metadata.uid !== planned.uid) {',
    replace: 'if (!object) {',
    why: 'a machine that nobody planned for is flipped',
  },
  {
    id: 'over a left warm kube-proxy',
    file: MIGRATE,
    find: 'if (warmed && sharesChains(node.from, node.to)) {',
    replace: 'if (!warmed && sharesChains(node.from, node.from)) {',
    why: 'a run killed between warm and release cannot go on between iptables and ipvs',
  },
  {
    id: 'migrate into a finalize',
    file: MIGRATE,
    find: '  await refuseCommitted(engine);\n',
    replace: '  void refuseCommitted;\n',
    why: 'nodes that were given back are taken again',
  },
  {
    id: 'roll back into a finalize',
    file: BACK,
    find: '  await refuseCommitted(engine);\n',
    replace: '  void refuseCommitted;\n',
    why: 'nodes go back to a DaemonSet that says the new mode',
  },
  {
    id: 'first planned first back',
    file: BACK,
    find: '[...engine.run.plan.batches].reverse()',
    replace: '[...engine.run.plan.batches]',
    why: 'a second node is opened while the one in hand is open',
  },
  {
    id: 'given back is good',
    file: BACK,
    find: " || step === 'release' || step === 'hand-over'",
    replace: '',
    why: 'a crash between hand-over and gates skips the gates of the way back',
  },
  {
    id: 'a warm one is nothing to undo',
    file: BACK,
    find: "else if (nodeState(object)?.step === 'warm')",
    replace: "else if (nodeState(object)?.step === 'sweep')",
    why: 'rules of the new mode stay on a node that was only warmed',
  },
  {
    id: 'finalize without a look',
    file: BACK,
    find: "await step(at, 'verify', () => steady(engine, watch, run.plan.to, asked));",
    replace: "await step(at, 'verify', async () => void asked);",
    why: 'the next node is restarted whatever became of this one',
  },
  {
    id: 'a restart without a look',
    file: BACK,
    find: '    await steady(engine, watch, mode, asked);\n    if (batch',
    replace: '    void asked;\n    if (batch',
    why: 'all nodes are restarted whatever became of the first',
  },
  {
    id: 'the shared mode forgotten',
    file: BACK,
    find: '    for (const { name } of nodes) engine.expectedModes.set(name, run.plan.to);\n',
    replace: '',
    why: 'a finalize that was killed can never end',
  },
  {
    id: 'nothing set again for the way back',
    file: BACK,
    find: '  if (open.length > 0) await phase(',
    replace: '  if (open.length < 0) await phase(',
    why: 'after somebody put the DaemonSet back there is no way back',
  },
  {
    id: 'released is gone',
    file: DRIVER,
    find: '(await proxyPods(run, node.name)).length === 0 ? true : undefined',
    replace: '(await proxyPods(run, node.name)).length >= 0 ? true : undefined',
    why: 'two kube-proxies of two modes write at once',
  },
  {
    id: 'put back by somebody',
    file: DRIVER,
    find: '    await refuseReverted(run);\n',
    replace: '    void refuseReverted;\n',
    why: 'the original kube-proxy comes back beside that of the mode',
  },
  {
    id: 'everybody restarts',
    file: DRIVER,
    find: "{ op: 'replace', path: '/spec/updateStrategy', value: { type: 'OnDelete' } },",
    replace:
      "{ op: 'replace', path: '/spec/updateStrategy', value: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } } },",
    why: 'every node of the cluster restarts its kube-proxy as the run begins',
  },
  {
    id: 'the wrong warm kube-proxy',
    file: DRIVER,
    find: 'if (left && !mountsMode(left, run, node.to)) await this.cool(run, node);',
    replace: 'if (left && !mountsMode(left, run, node.to)) void this.cool;',
    why: 'a left warm kube-proxy of the other direction is taken for this one',
  },
  {
    id: 'the label stays',
    file: DRIVER,
    find: "setMode(run, node, 'hand-over', node.home === 'mode' ? node.to : null)",
    replace: "setMode(run, node, 'hand-over', node.to)",
    why: 'nodes never go back to the original DaemonSet',
  },
  {
    id: 'nodes keep our marks',
    file: DRIVER,
    find: 'await clearNode(run, name);',
    replace: 'await run.cluster.get({ kind: "Node", name });',
    why: 'labels and annotations stay for ever',
  },
  {
    id: 'the warm one cleans up',
    file: OBJECTS,
    find: '  withShadow(template.spec, ',
    replace: '  if (template.spec.containers.length > 9) withShadow(template.spec, ',
    why: 'the warm kube-proxy removes the rules that serve',
  },
  {
    id: 'nothing is safe on the disk',
    file: JOURNAL,
    find: '      if (DURABLE.has(whole.event)) fsyncSync(file);\n',
    replace: '      if (DURABLE.has(whole.event)) void fsyncSync;\n',
    why: 'a lost machine takes the record of what it did with it',
  },
  {
    id: 'steps are not safe on the disk',
    file: JOURNAL,
    find: "  'step-intended',\n",
    replace: '',
    why: 'the same, for what matters most',
  },
  {
    id: 'not seen is fine',
    file: ENGINE,
    find: "const open = judgements.filter(j => j.verdict !== 'pass');",
    replace: "const open = judgements.filter(j => j.verdict === 'fail');",
    why: 'a gate that could not look lets pass',
  },
  {
    id: 'for ever',
    file: ENGINE,
    find: 'if (clock.monotonic() > end) {',
    replace: 'if (clock.monotonic() > end + 1e9) {',
    why: 'a run waits for what never comes',
  },
  {
    id: 'a run that is going stands',
    file: 'src/run/record.ts',
    find: 'if (!namespace || namespace.metadata.deletionTimestamp) return undefined;',
    replace: 'if (!namespace) return undefined;',
    why: 'what follows a rollback that was killed at its end fails',
  },
  {
    id: 'nobody handles it',
    file: 'src/run/watches.ts',
    find: '    stopping.catch(() => undefined);\n',
    replace: '',
    why: 'a watcher that cannot be removed ends the CLI in the middle of a flip',
  },
  {
    id: 'one epoch for all',
    file: 'src/run/lease.ts',
    find: 'const epoch = Number(current?.spec.leaseTransitions ?? 0) + 1;',
    replace: 'const epoch = Number(current?.spec.leaseTransitions ?? 1);',
    why: 'a runner that slept is not told from the one that took over',
  },
];
