import { majorMinor } from './mode.ts';

/** Version in an image's tag, `registry:5000/kube-proxy:v1.36.3@sha256:...` included; undefined where the tag says none. */
export function imageVersion(image: string): [number, number] | undefined {
  const tag = /:([^:/@]+)(?:@|$)/.exec(image.replace(/@.*$/, ''))?.[1];
  return tag === undefined ? undefined : majorMinor(tag);
}
