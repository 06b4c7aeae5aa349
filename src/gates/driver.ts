import { defineGate } from '../core/gate.ts';
import { detectPlatform } from '../core/platforms.ts';

export const driver = defineGate({
  id: 'driver',
  title: 'proxyctl can change the mode on this platform node by node',
  hint: "use the platform's own command; the other checks and 'proxyctl status' help around it",
  moments: ['preflight'],
  observe: look => detectPlatform(look.inventory, look.to),
  judge(platform) {
    if (platform.fits) return { findings: [], summary: `driver ${platform.id}` };
    return {
      findings: [{ level: 'error', subject: `platform ${platform.id}`, message: platform.reason }],
      summary: '',
    };
  },
});
