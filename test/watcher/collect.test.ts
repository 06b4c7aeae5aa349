import { expect, it } from 'vitest';
import { readIfThere } from '../../src/watcher/collect.ts';
import { FakeNode } from './fake-node.ts';

it('a file is absent only when there is none', async () => {
  const fake = new FakeNode();
  expect(await readIfThere(fake, '/proc/net/ip_vs')).toBeUndefined();
  for (const error of [new Error('read timed out'), Object.assign(new Error('no'), { code: 'EACCES' })]) {
    fake.readFile = () => Promise.reject(error);
    await expect(readIfThere(fake, '/proc/net/ip_vs')).rejects.toBe(error);
  }
});
