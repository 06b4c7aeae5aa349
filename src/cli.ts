// The command line: flags to options, errors to a line and an exit code. Commands are imported when they are called, so that
// `--version` and `--help` load nothing else.
import { Command, CommanderError, Option } from 'commander';
import { outliveClosedPipes } from './commands/closed-pipes.ts';
import type { CommandIo, GlobalOptions } from './commands/io.ts';
import { PURPOSES } from './core/access.ts';
import { EXIT, ProxyctlError } from './core/errors.ts';
import { MODES } from './core/mode.ts';
import { escapeText } from './report/escape.ts';
import { exitText } from './report/exit-codes.ts';

declare const PROXYCTL_VERSION: string;

type Perform = (io: CommandIo) => Promise<number>;

/** Runs the command line; gives the exit code. */
export async function main(args: string[]): Promise<number> {
  outliveClosedPipes();
  let code: number = EXIT.done;
  const program = build(async perform => {
    const { commandIo } = await import('./commands/io.ts');
    code = await perform(commandIo(globalOptions(program)));
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    return explain(error, args.includes('--verbose'));
  }
}

function explain(error: unknown, verbose: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof ProxyctlError) {
    console.error(`proxyctl: ${escapeText(error.message)}`);
    if (verbose && error.cause) console.error(escapeText(String(error.cause)));
    return error.exitCode;
  }
  if (error instanceof RangeError && error.message.includes('call stack')) {
    console.error('proxyctl: the cluster holds data that is nested too deeply to be read');
    return EXIT.unreachable;
  }
  const message = error instanceof Error ? error.message : String(error);
  console.error(`proxyctl: this is our fault, please report it: ${escapeText(message)}`);
  if (verbose && error instanceof Error)
    for (const line of (error.stack ?? '').split('\n')) console.error(escapeText(line));
  return EXIT.internal;
}

function globalOptions(program: Command): GlobalOptions {
  const { kubeconfig, context, format, color, verbose } = program.opts();
  return { kubeconfig, context, format, color: color !== false, verbose: verbose === true };
}

type Action = (perform: Perform) => Promise<void>;

function build(action: Action): Command {
  const program = new Command('proxyctl')
    .description(
      "Changes kube-proxy's mode on a live cluster: planned in batches, gated node by node, without a gap, with a way back.",
    )
    .version(PROXYCTL_VERSION)
    .option('--kubeconfig <file>', 'kubeconfig to use instead of $KUBECONFIG or ~/.kube/config')
    .option('--context <name>', 'context of the kubeconfig')
    .addOption(new Option('--format <format>', 'of what goes to stdout').choices(['text', 'json']).default('text'))
    .option('--no-color', 'no colours (so does NO_COLOR)')
    .option('--verbose', 'print waits and causes too, and plans in full')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("(see 'proxyctl --help')")
    .exitOverride()
    .addHelpText(
      'after',
      `\nExamples:\n  proxyctl demo\n  proxyctl plan --to nftables --batch 50\n  proxyctl preflight --to nftables --output junit > preflight.xml\n  proxyctl migrate --batch 50\n  proxyctl pause\n  proxyctl resume\n  proxyctl rollback\n${exitText()}`,
    );
  for (const declare of COMMANDS) declare(program, action);
  for (const command of program.commands) command.addHelpText('after', exitText(command.name()));
  return program;
}

const target = (command: Command): Command =>
  command
    .option('--to <mode>', `target mode: ${MODES.join(', ')} (nftables when every node can run it)`)
    .option('--playbook <file>', 'playbook: caps, order, gates (docs/playbook.md)');

const wishes = (command: Command): Command =>
  target(command).option('--batch <n>', 'at most so many Services newly exposed by one batch (50)');

/** Declares a command, or several of a kind. */
type Declare = (program: Command, action: Action) => void;

const WATCHER_IMAGE = [
  '--watcher-image <name>',
  'image of the watchers in your own registry, best by digest (else that on the nodes, never pulled)',
] as const;

const inventory: Declare = (program, action) => {
  program
    .command('inventory')
    .description('what is there: nodes with their effective mode, Services, how kube-proxy is run')
    .option('-o, --output <file>', 'write it as YAML or JSON, by the ending; nothing goes to stdout then')
    .addHelpText('after', '\nExample:\n  proxyctl inventory -o cluster.yaml')
    .action(async options =>
      action(async io => (await import('./commands/inventory.ts')).inventoryCommand(io, options)),
    );
};

const plan: Declare = (program, action) => {
  wishes(program.command('plan'))
    .description('batches of nodes, what each newly exposes, and what the plan relied on')
    .option('--inventory <file>', 'plan from this inventory instead of the cluster')
    .option('-o, --output <file>', 'write the plan as YAML or JSON, by the ending; nothing goes to stdout then')
    .addHelpText('after', '\nExample:\n  proxyctl plan --to nftables --batch 50 -o plan.yaml')
    .action(async options => action(async io => (await import('./commands/plan.ts')).planCommand(io, options)));
};

const preflight: Declare = (program, action) => {
  target(program.command('preflight'))
    .description('what a migration must not start without; for CI, reads only (exit 20 when something was found)')
    .option('--inventory <file>', 'check this inventory instead of the cluster')
    .option('--output <format>', 'text, json or junit (as --format, which has no junit)')
    .option('--strict', 'exit 20 as well when something could not be looked at')
    .addHelpText('after', '\nExample:\n  proxyctl preflight --to nftables --output junit > preflight.xml')
    .action(async options =>
      action(async io => (await import('./commands/preflight.ts')).preflightCommand(io, options)),
    );
};

const verify: Declare = (program, action) => {
  program
    .command('verify')
    .description(
      "every node as it is, in whatever mode: kernel rules against the API, probes, kube-proxy's own word (exit 20 when something is wrong or cannot be seen)",
    )
    .option('--node <name...>', 'only these nodes (names, separated by blanks or commas)')
    .option('--for <duration>', 'again and again for so long (30m, 8h); with --format json one line a round')
    .option('--playbook <file>', 'thresholds and times of the gates')
    .option(...WATCHER_IMAGE)
    .addHelpText(
      'after',
      `
It changes nothing of the cluster's own. While it looks, each node has two pods and a Service of proxyctl, a few nodes at a time; they
go in the end, on Ctrl-C too. It can be called on any cluster, migrated or not; not while a run is under way. With --for they stay
between the rounds on up to ten nodes, the exit code is 20 when any round was not well, and Services that came since are compared, not
probed.

Examples:
  proxyctl verify
  proxyctl verify --for 1h
  proxyctl verify --node worker-7 worker-8 --format json`,
    )
    .action(async options => action(async io => (await import('./commands/verify.ts')).verifyCommand(io, options)));
};

const status: Declare = (program, action) => {
  program
    .command('status')
    .description('where each node and a run stand, read from the cluster alone (exit 20 when something does not fit)')
    .option('--run <id>', 'run to show')
    .option(
      '--look',
      'put a short-lived watcher on each node, to read what its kernel holds (takes the rights of verify)',
    )
    .option(...WATCHER_IMAGE)
    .addHelpText('after', '\nExamples:\n  proxyctl status\n  proxyctl status --look --format json')
    .action(async options => action(async io => (await import('./commands/status.ts')).statusCommand(io, options)));
};

const trace: Declare = (program, action) => {
  program
    .command('trace')
    .argument('<service>', 'NAMESPACE/NAME or NAME, with :PORT (number or name) for one port only')
    .description(
      'where packets for a Service go on a node, in its mode, with the commands to type there (exit 20 when the kernel is not as the API says; takes the rights of verify)',
    )
    .option('-n, --namespace <name>', 'namespace of the Service, where its name does not say it; else default')
    .option('--node <name>', 'look at this node; else at a Ready node in each mode that the cluster has')
    .option(...WATCHER_IMAGE)
    .addHelpText(
      'after',
      `
It puts a short-lived watcher on the node, and changes nothing there.

Examples:
  proxyctl trace shop/web
  proxyctl trace kube-dns:53 -n kube-system --node worker-7
  proxyctl trace shop/web --format json`,
    )
    .action(async (service, options) =>
      action(async io => (await import('./commands/trace.ts')).traceCommand(io, service, options)),
    );
};

const rbac: Declare = (program, action) => {
  const several = (flags: string, description: string) =>
    new Option(flags, description)
      .argParser((value: string, before: string[]) => [...before, value])
      .default([], 'none');
  program
    .command('rbac')
    .argument('[purpose]', `what the rights are for: ${PURPOSES.join(', ')}`, 'migrate')
    .description('print the least RBAC roles for a purpose, for kubectl apply -f -; asks no cluster')
    .addOption(several('--user <name>', 'bind them to this user (may be repeated, as may the others)'))
    .addOption(several('--group <name>', 'bind them to this group'))
    .addOption(several('--service-account <namespace:name>', 'bind them to this ServiceAccount'))
    .option('--inventory <file>', "names of kube-proxy's objects, where they are not kubeadm's")
    .addHelpText(
      'after',
      `
What each purpose suffices for:
  inventory  inventory, plan
  preflight  preflight, and the above
  status     status, and inventory and plan
  verify     verify, trace, status --look, and all of the above
  migrate    every command

Example:
  proxyctl rbac migrate --user jane | kubectl apply -f -`,
    )
    .action(async (purpose, options) =>
      action(async io => (await import('./commands/rbac.ts')).rbacCommand(io, purpose, options)),
    );
};

const ONE_WAY = [
  '--one-way <nodes>',
  'flip these nodes though they cannot go back (names, separated by commas)',
] as const;

const changing = (command: Command): Command => command.option('--yes', 'do not ask').option(...WATCHER_IMAGE);

const migrate: Declare = (program, action) => {
  changing(
    wishes(program.command('migrate').argument('[plan]', 'plan file; without it proxyctl plans, shows and asks')),
  )
    .description(
      'flip the nodes batch by batch, each behind its gates; called again, it goes on, with the nodes that joined',
    )
    .option(...ONE_WAY)
    .addHelpText('after', '\nExamples:\n  proxyctl migrate --batch 50\n  proxyctl migrate plan.yaml --yes')
    .action(async (plan, options) =>
      action(async io => (await import('./commands/migrate.ts')).migrateCommand(io, plan, options)),
    );
};

const resume: Declare = (program, action) => {
  changing(program.command('resume'))
    .option(...ONE_WAY)
    .description(
      'go on with the run of this cluster, from any machine: with what the cluster holds, from where the nodes stand',
    )
    .option('--run <id>', 'the run to go on with')
    .option(
      '--takeover',
      'take the run over even if its runner is alive (needs --run): its next write is refused, and it ends with code 25',
    )
    .addHelpText(
      'after',
      '\nA paused run goes on where it runs; one that nobody runs goes on here. Nothing is needed but the cluster.\n\nExamples:\n  proxyctl resume\n  proxyctl resume --run r-202601020304-ab12 --takeover',
    )
    .action(async options => action(async io => (await import('./commands/resume.ts')).resumeCommand(io, options)));
};

const rollback: Declare = (program, action) => {
  changing(program.command('rollback'))
    .description('put back exactly what was there, without a gap')
    .option('--run <id>', 'the run to roll back')
    .option('--node <name>', 'only this node')
    .option(
      '--skip <nodes>',
      'leave these nodes as they are, as one that will not get well (names, separated by commas); the run stays for them (exit 21)',
    )
    .option('--takeover', 'take the run over even if its runner is alive (needs --run)')
    .addHelpText(
      'after',
      '\nExamples:\n  proxyctl rollback\n  proxyctl rollback --node worker-7\n  proxyctl rollback --skip worker-9',
    )
    .action(async options => action(async io => (await import('./commands/undo.ts')).rollbackCommand(io, options)));
};

const finalize: Declare = (program, action) => {
  changing(program.command('finalize'))
    .description("make the new mode the cluster's own; after it, undo is a new migration")
    .addHelpText(
      'after',
      `
The mode is written into kube-proxy's own configuration, the nodes go back to its own DaemonSet, one by one and each by a
plain restart in the same mode, and what proxyctl made is removed. It refuses, with nothing written, while a node serves in
another mode or somebody else has changed kube-proxy's DaemonSet; once it has written, calling it again is the way on.

Example:
  proxyctl finalize`,
    )
    .action(async options => action(async io => (await import('./commands/undo.ts')).finalizeCommand(io, options)));
};

const demo: Declare = (program, action) => {
  program
    .command('demo')
    .description('the whole job on a simulated cluster: plan, migrate, a broken Service, halt, roll back')
    .option('--nodes <n>', 'nodes', '12')
    .option('--services <n>', 'Services', '400')
    .option('--to <mode>', `target mode: ${MODES.join(', ')}`, 'nftables')
    .option('--batch <n>', 'cap of newly exposed Services', '50')
    .option(
      '--fault <name>',
      'silent-service, silent-udp, silent-nodeport, silent-affinity, silent-hairpin or none',
      'silent-service',
    )
    .option('--seed <n>', 'seed of the simulated cluster', '1')
    .addHelpText('after', '\nExample:\n  proxyctl demo --nodes 20 --fault none')
    .action(async options => action(async io => (await import('./commands/demo.ts')).demoCommand(io, options)));
};

/** Said to whoever runs the run, wherever that is. */
const steering: Declare = (program, action) => {
  const load = () => import('./commands/steer.ts');
  const run = (command: Command): Command => command.option('--run <id>', 'the run that is meant');
  run(program.command('pause'))
    .description('let the run stand still after the node in hand, whoever runs it; it keeps its Lease')
    .addHelpText('after', '\nExample:\n  proxyctl pause && proxyctl status')
    .action(async options => action(async io => (await load()).pauseCommand(io, options)));
  run(program.command('abort'))
    .description('stop the run at the next safe point, whoever runs it (it ends with code 23), and wait until it has')
    .option('--no-wait', 'only ask it to')
    .addHelpText(
      'after',
      '\nThe node in hand is finished or its flip called off. Example:\n  proxyctl abort && proxyctl rollback',
    )
    .action(async options => action(async io => (await load()).abortCommand(io, options)));
  run(program.command('adjust'))
    .description('change caps and soak of the run; its batches that have not begun are planned anew')
    .option('--batch <n>', 'at most so many Services newly exposed by one batch')
    .option('--batch-nodes <n>', 'at most so many nodes in one batch')
    .option('--soak <duration>', 'time that a flipped node is watched before the next one, such as 30s or 5m')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExamples:\n  proxyctl adjust --batch 20\n  proxyctl adjust --soak 5m --yes')
    .action(async options => action(async io => (await load()).adjustCommand(io, options)));
};

/** In the order in which help names them. */
const COMMANDS: readonly Declare[] = [
  inventory,
  plan,
  preflight,
  verify,
  status,
  trace,
  rbac,
  migrate,
  resume,
  steering,
  rollback,
  finalize,
  demo,
];
