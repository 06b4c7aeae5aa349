// npm run image -- FILE.tar [--name NAME]: the watcher's image as an archive (docker-archive, one layer) without docker, from
// this machine's own Debian packages. `ctr -n k8s.io images import FILE.tar` takes it, and so do `docker load` and `kind load`.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { watcherImage } from '../src/core/watcher-image.ts';
import { Root, stripped, which } from './root.ts';
import { tar } from './tar.ts';

const REPOSITORY = join(import.meta.dirname, '..');

/** Programs of the image, by the Debian package that brings them. */
const PROGRAMS: Record<string, readonly string[]> = {
  nftables: ['nft'],
  iptables: ['iptables', 'ip6tables'].flatMap(name =>
    ['nft', 'legacy'].flatMap(backend => ['', '-save', '-restore'].map(verb => `${name}-${backend}${verb}`)),
  ),
  ipset: ['ipset'],
  ipvsadm: ['ipvsadm'],
  conntrack: ['conntrack'],
  iproute2: ['ip'],
};
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function main(argv: string[]): void {
  const { positionals, values } = parseArgs({
    args: argv,
    options: { name: { type: 'string' } },
    allowPositionals: true,
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) throw new Error('usage: npm run image -- FILE.tar [--name NAME]');
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
  const name = values.name ?? watcherImage(version);
  const bundle = join(REPOSITORY, 'dist/watcher.js');
  // Always: an old bundle in a new image would be found on a node only.
  execFileSync(process.execPath, ['build.ts'], { cwd: REPOSITORY, stdio: 'inherit' });
  install(Object.keys(PROGRAMS).filter(pack => PROGRAMS[pack]?.some(program => which(program) === undefined)));
  const root = collect(bundle);
  writeFileSync(file, archive(name, tar(root.entries)));
  process.stdout.write(`${file}: ${name}, ${Math.round(root.size() / 1e6)} MB in ${root.entries.size} files\n`);
}

function install(packages: readonly string[]): void {
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error(`packages are missing (root installs them): ${packages.join(' ')}`);
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', ...packages], { stdio: 'inherit' });
}

function collect(bundle: string): Root {
  const root = new Root();
  for (const folder of ['tmp', 'run', 'proc', 'sys', 'dev', 'etc']) root.folder(folder);
  for (const link of ['bin', 'sbin', 'lib', 'lib64']) {
    root.folder(`usr/${link}`);
    root.link(link, `usr/${link}`);
  }
  const node = join(REPOSITORY, 'node_modules/node/bin/node');
  root.binary(node, 'usr/local/bin/node');
  root.file('usr/local/bin/node', stripped(node), 0o755);
  root.file('watcher.js', readFileSync(bundle), 0o644);
  for (const program of Object.values(PROGRAMS).flat()) {
    const source = which(program);
    if (source === undefined) throw new Error(`${program} is not there, though its package is installed`);
    root.program(source);
  }
  // iptables loads its matches and targets by name.
  for (const folder of readdirSync('/usr/lib')
    .map(name => join('/usr/lib', name, 'xtables'))
    .filter(existsSync))
    root.sharedObjects(folder);
  for (const file of ['etc/protocols', 'etc/services']) {
    if (existsSync(`/${file}`)) root.file(file, readFileSync(`/${file}`), 0o644);
  }
  // ipvsadm and nft ask for protocols by name.
  if (!root.entries.has('etc/protocols'))
    root.file(
      'etc/protocols',
      Buffer.from('ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58\nsctp 132 SCTP\n'),
      0o644,
    );
  root.file('etc/passwd', Buffer.from('root:x:0:0:root:/:/usr/local/bin/node\n'), 0o644);
  return root;
}

function archive(name: string, layer: Buffer): Buffer {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`no image for ${process.arch}`);
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
      config: {
        Entrypoint: ['/usr/local/bin/node', '--max-semi-space-size=4', '--heap-growing-percent=50', '/watcher.js'],
        Env: [`PATH=${PATH}`],
      },
    }),
  );
  const configName = `${sha256(config)}.json`;
  const manifest = [{ Config: configName, RepoTags: [name], Layers: ['layer.tar'] }];
  const file = (data: Buffer) => ({ type: 'file', data, mode: 0o644 }) as const;
  return tar(
    new Map([
      [configName, file(config)],
      ['layer.tar', file(layer)],
      ['manifest.json', file(Buffer.from(JSON.stringify(manifest)))],
    ]),
  );
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

main(process.argv.slice(2));
