import { defineConfig } from 'eslint/config';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

const noProcessEnv = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: 'Only config/env.ts reads process.env: take the value as an argument.',
};
const noProcessEnvByOtherNames = {
  selector: "VariableDeclarator[init.name='process'] > ObjectPattern",
  message: 'Only config/env.ts reads process.env: take the value as an argument.',
};
const noStringBuiltSql = {
  selector:
    "CallExpression[callee.property.name='query'] > TemplateLiteral.arguments:first-child[expressions.length>0]",
  message: 'SQL is never built from strings: use parameters.',
};
const noDateInDomain = {
  selector: "NewExpression[callee.name='Date'][arguments.length=0]",
  message: 'Domain code reads no clock: take the time as an argument.',
};
const noDateNowInDomain = {
  selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
  message: 'Domain code reads no clock: take the time as an argument.',
};
const noFloatMoney = [
  {
    selector:
      ":matches(CallExpression[callee.name=/^(Number|parseFloat|parseInt)$/], CallExpression[callee.object.name='Math']) Identifier[name=/Micro$/]",
    message: 'Money is bigint: no Number(), parseFloat() or Math on it.',
  },
  {
    selector: "CallExpression[callee.name='Number'] MemberExpression[property.name=/Micro$/]",
    message: 'Money is bigint: no Number() on it.',
  },
];

export default defineConfig(
  { ignores: ['node_modules/', '.arrakis/', 'coverage/', '**/*.cjs', 'eslint.config.js'] },
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      'no-console': 'error',
      'max-lines': ['error', { max: 500, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      complexity: ['error', 10],
      'no-restricted-syntax': [
        'error',
        noProcessEnv,
        noProcessEnvByOtherNames,
        noStringBuiltSql,
        ...noFloatMoney,
      ],
      'no-restricted-imports': ['error', { name: 'node:process', importNames: ['env', 'default'] }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ['**/domain.ts', '**/*.domain.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        noProcessEnv,
        noProcessEnvByOtherNames,
        noStringBuiltSql,
        noDateInDomain,
        noDateNowInDomain,
        ...noFloatMoney,
      ],
    },
  },
  {
    files: [
      'services/*/src/config/env.ts',
      'scripts/lib/env.ts',
      'test/**/*.ts',
      'packages/testkit/**/*.ts',
    ],
    rules: { 'no-restricted-syntax': ['error', noStringBuiltSql, ...noFloatMoney] },
  },
  {
    files: ['**/*.test.ts', 'test/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      complexity: 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  { files: ['scripts/**/*.ts', 'loadtest/**/*.ts'], rules: { 'no-console': 'off' } },
  prettier,
);
