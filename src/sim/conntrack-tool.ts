// `conntrack` and what holds packets back for it, as far as handing over the connections of ip_vs takes.
import type { Kernel } from './kernel.ts';
import type { IpvsConnection } from './node-files.ts';
import type { Result } from './node-tools.ts';

const done = (stdout = ''): Result => ({ code: 0, stdout, stderr: '' });

export function conntrackTool(
  kernel: Kernel,
  args: readonly string[],
  input: string,
  connections: readonly IpvsConnection[],
): Result {
  if (args.includes('--version')) return done('conntrack v1.4.7 (conntrack-tools)\n');
  const option = (name: string) => args[args.indexOf(name) + 1] ?? '';
  if (args.includes('-L'))
    return done(option('-f') === 'ipv6' || option('--state') !== 'ESTABLISHED' ? '' : connections.map(line).join(''));
  if (args.includes('-R')) {
    for (const command of input.split('\n').filter(Boolean)) conntrackTool(kernel, command.split(' '), '', connections);
    return done();
  }
  if (args.includes('-A')) {
    kernel.adopted.add(`${option('-s')}:${option('--sport')}`);
    return done('conntrack v1.4.7 (conntrack-tools): 1 flow entries have been created.\n');
  }
  return { code: 1, stdout: '', stderr: 'conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted.\n' };
}

function line({ client, clientPort, server, backend }: IpvsConnection): string {
  const [, address = '', port = ''] = server.split('/');
  const [real = '', realPort = ''] = backend.split(':');
  const question = `src=${client} dst=${address} sport=${clientPort} dport=${port}`;
  const answer = `src=${real} dst=${client} sport=${realPort} dport=${clientPort}`;
  return `tcp      6 299 ESTABLISHED ${question} ${answer} [ASSURED] mark=0 use=1\n`;
}
