// Reads a table that nft prints in forty megabytes, and says how many rules it has and how much memory that took.
import { parseKernel } from '../../src/kernel/kernel.ts';
import { collectKernel } from '../../src/watcher/collect.ts';
import { nodeIo } from '../../src/watcher/io.ts';

const PRINT = `
const rule = ',{"rule":{"chain":"c","comment":"${'x'.repeat(2000)}","expr":[]}}';
process.stdout.write('{"nftables":[{"chain":{"name":"c"}}');
for (let n = 0; n < 200; n++) process.stdout.write(rule.repeat(100));
process.stdout.write(']}');
`;

const real = nodeIo();
const before = process.resourceUsage().maxRSS;
const { dumps } = await collectKernel({
  ...real,
  async run(program, args, input, take) {
    if (program === 'nft' && args.includes('ip')) return real.run(process.execPath, ['-e', PRINT], input, take);
    return { code: 127, stdout: '', stderr: '' };
  },
});
const rules = parseKernel(dumps).nft[0]?.chains.get('c')?.rules.length;
console.log(JSON.stringify({ rules, megabytes: Math.round((process.resourceUsage().maxRSS - before) / 1024) }));
