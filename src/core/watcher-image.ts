/** The image that watchers and sweepers run, as the CLI of the same version asks for it. `version` as in package.json. */
export function watcherImage(version: string): string {
  return `proxyctl/watcher:v${version}`;
}
