import type { TObject } from 'typebox';
import { describeExpectation, envProperties, type EnvProperty } from './env.ts';

/**
 * A section of `.env.example`: each variable with its description, what it has to be and its
 * default. Secrets and variables without a default have an empty value.
 */
export function describeEnv(title: string, schema: TObject): string {
  const required = new Set<string>(schema.required);
  const variables = envProperties(schema).map(([name, property]) =>
    describeVariable(name, property, required.has(name)),
  );
  return [`# === ${title} ===`, ...variables].join('\n\n') + '\n';
}

function describeVariable(name: string, property: EnvProperty, required: boolean): string {
  const hasDefault = property.default !== undefined && property.secret !== true;
  const lines = (property.description ?? '').split('\n').filter((line) => line !== '');
  const facts = [
    describeExpectation(property),
    ...(hasDefault
      ? [`default ${String(property.default)}`]
      : [required ? 'required' : 'optional']),
    ...(property.secret === true ? [`may be read from the file named in ${name}_FILE`] : []),
  ];
  return [
    ...lines.map((line) => `# ${line}`),
    `# (${facts.join('; ')})`,
    `${name}=${hasDefault ? String(property.default) : ''}`,
  ].join('\n');
}
