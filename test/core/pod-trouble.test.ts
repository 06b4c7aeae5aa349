import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import { podTrouble } from '../../src/core/pod-trouble.ts';

const pod = (status: object, over: { restartPolicy?: string; deletionTimestamp?: string } = {}): KubeObject => {
  const { restartPolicy = 'Always', ...metadata } = over;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'warm', namespace: 'kube-system', ...metadata },
    spec: { restartPolicy },
    status,
  };
};
const waiting = (reason: string, message?: string) => ({ state: { waiting: { reason, message } }, restartCount: 3 });
const inContainer = (...containerStatuses: object[]) => pod({ phase: 'Pending', containerStatuses });
const ended = (exitCode: number) => ({ state: { terminated: { exitCode, reason: 'Error' } } });

describe('podTrouble', () => {
  it.each(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ImageInspectError'])(
    '%s is about the image',
    reason => {
      const text = `pod kube-system/warm: ${reason}: Back-off pulling image "x"`;
      expect(podTrouble(inContainer(waiting(reason, 'Back-off pulling\n image "x"')))).toEqual({ kind: 'image', text });
    },
  );

  it('an image that is never pulled is absent; where it is ours, what to do is said', () => {
    const theirs = inContainer(waiting('ErrImageNeverPull'));
    expect(podTrouble(theirs)).toEqual({ kind: 'absent', text: 'pod kube-system/warm: ErrImageNeverPull' });
    const ours = { ...theirs, metadata: { ...theirs.metadata, namespace: 'proxyctl' } };
    expect(podTrouble(ours)?.text).toMatch(/ErrImageNeverPull; load the archive of 'npm run image' .* --watcher-image/);
  });

  it.each(['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError'])(
    '%s is about the node',
    reason => {
      const trouble = podTrouble(inContainer(waiting(reason, 'configmap "x" not found')));
      expect(trouble).toEqual({ kind: 'config', text: `pod kube-system/warm: ${reason}: configmap "x" not found` });
    },
  );

  it('a crash loop tells how often and how it ended last', () => {
    const loop = { ...waiting('CrashLoopBackOff'), lastState: { terminated: { exitCode: 1, reason: 'Error' } } };
    const text = 'pod kube-system/warm: CrashLoopBackOff, 3 restarts; it ended with code 1 (Error)';
    expect(podTrouble(inContainer(loop))).toEqual({ kind: 'crash', text });
    expect(podTrouble(inContainer(ended(2)))?.text).toBe(
      'pod kube-system/warm: its container ended with code 2 (Error)',
    );
  });

  it.each(['ContainerCreating', 'PodInitializing'])('%s says only that it takes its time', reason => {
    expect(podTrouble(inContainer(waiting(reason)))?.kind).toBe('creating');
  });

  it('of several containers the one counts that has more to say', () => {
    expect(podTrouble(inContainer(waiting('ContainerCreating'), waiting('ImagePullBackOff')))?.kind).toBe('image');
    const initContainerStatuses = [waiting('ErrImagePull')];
    const containerStatuses = [waiting('PodInitializing')];
    expect(podTrouble(pod({ phase: 'Pending', initContainerStatuses, containerStatuses }))?.kind).toBe('image');
  });

  it('one that no node takes', () => {
    const conditions = [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes are available' },
    ];
    const text = 'pod kube-system/warm: Unschedulable: 0/3 nodes are available';
    expect(podTrouble(pod({ phase: 'Pending', conditions }))).toEqual({ kind: 'schedule', text });
  });

  it('one that is over', () => {
    const evicted = pod({ phase: 'Failed', reason: 'Evicted', message: 'low on resource: memory' });
    expect(podTrouble(evicted)).toEqual({
      kind: 'ended',
      text: 'pod kube-system/warm: Evicted: low on resource: memory',
    });
    const killed = pod({ phase: 'Failed', containerStatuses: [ended(137)] }, { restartPolicy: 'Never' });
    expect(podTrouble(killed)?.text).toBe('pod kube-system/warm: Failed: ended with code 137 (Error)');
    expect(podTrouble(pod({ phase: 'Succeeded' }, { restartPolicy: 'Never' }))?.kind).toBe('ended');
  });

  it.each([
    ['one that runs', pod({ phase: 'Running', containerStatuses: [{ state: { running: {} } }] })],
    ['one that nobody has told of yet', pod({ phase: 'Pending' })],
    ['one that is going', pod({ phase: 'Failed' }, { deletionTimestamp: '2026-01-01T00:00:00Z' })],
    ['one without a status', { ...pod({}), status: undefined }],
  ])('%s has none', (_what, given) => {
    expect(podTrouble(given)).toBeUndefined();
  });

  it('what a registry says is cut', () => {
    expect(podTrouble(inContainer(waiting('ErrImagePull', 'x'.repeat(5000))))?.text.length).toBeLessThan(300);
  });
});
