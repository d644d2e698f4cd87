import { expect, it } from 'vitest';
import { summariseProfile, type CpuProfile } from './cpu-profile.ts';

const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 4 });
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 5] },
    {
      id: 2,
      callFrame: frame('serve', 'file:///somewhere/services/finn/src/app.ts'),
      children: [3, 4],
    },
    { id: 3, callFrame: frame('parse', 'file:///somewhere/node_modules/@a/b/lib/x.js') },
    { id: 4, callFrame: frame('writev') },
    { id: 5, callFrame: frame('(idle)') },
  ],
  samples: [2, 3, 4, 4, 5, 5],
  timeDeltas: [0, 10, 20, 30, 40, 500],
};

it('a profile gives self time by function and package, and what ours call, without idle time', () => {
  expect(summariseProfile(profile)).toEqual({
    busyMicros: 100,
    idleMicros: 500,
    byFunction: [
      { name: 'writev', micros: 70 },
      { name: 'parse  @a/b/lib/x.js:5', micros: 20 },
      { name: 'serve  services/finn/src/app.ts:5', micros: 10 },
    ],
    byPackage: [
      { name: 'native', micros: 70 },
      { name: '@a/b', micros: 20 },
      { name: 'services/finn/src', micros: 10 },
    ],
    inclusive: [{ name: 'serve  services/finn/src/app.ts:5', micros: 100 }],
  });
});
