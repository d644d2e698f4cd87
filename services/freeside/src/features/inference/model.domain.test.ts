import { expect, it } from 'vitest';
import { modelIds, parseModel } from './model.domain.ts';

const NFT = `1:0x${'ab'.repeat(20)}:7`;

it.each([
  ['ada', { agent: 'ada', pool: undefined }],
  ['ada@cheap', { agent: 'ada', pool: 'cheap' }],
  [`${NFT}@flagship`, { agent: NFT, pool: 'flagship' }],
  ['a@b@cheap', { agent: 'a@b', pool: 'cheap' }],
  ['ada@gpt', undefined],
  ['ada@', undefined],
  ['ada@Cheap', undefined],
])('%s is read as %o', (model, reference) => {
  expect(parseModel(model)).toEqual(reference);
});

it('an agent is listed by its slug and by each pool of the tier', () => {
  expect(modelIds('ada', 'standard')).toEqual(['ada', 'ada@cheap', 'ada@standard']);
});
