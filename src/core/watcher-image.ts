/** No registry has it: the archive of `npm run image` is loaded on the nodes. */
const REPOSITORY = 'proxyctl/watcher';

/** The image that watchers and sweepers run, as the CLI of the same version asks for it. `version` as in package.json. */
export function watcherImage(version: string): string {
  return `${REPOSITORY}:v${version}`;
}

/** Our bare name is never pulled: in a public registry it would be anybody's, and it runs as root on the node. */
export function pullPolicy(image: string): 'Never' | 'IfNotPresent' {
  return image.startsWith(`${REPOSITORY}:`) ? 'Never' : 'IfNotPresent';
}

/** What to do where a node does not have it. */
export const NOT_LOADED =
  "load the archive of 'npm run image' on each node, or name the image of your own registry with --watcher-image, best by digest";
