// The rules of eslint for this package: the recommended ones, plus a few that have caught real mistakes.
import js from '@eslint/js';
import globals from 'globals';

export default [
  { ignores: ['dist/', 'node_modules/'] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: 'module', globals: globals.browser },
    rules: {
      eqeqeq: 'error',
      'no-shadow': 'error',
      'no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'no-var': 'error',
      'prefer-const': 'error',
      'require-await': 'error',
      // Text of others never becomes mark-up.
      'no-restricted-properties': ['error', { property: 'outerHTML' }, { property: 'insertAdjacentHTML' }],
      'no-restricted-syntax': ['error', { selector: "AssignmentExpression[left.property.name='innerHTML']", message: 'Write text with textContent.' }],
    },
  },
  { files: ['*.mjs', 'test/**', 'eslint.config.js'], languageOptions: { globals: globals.node } },
  { files: ['formlock-ticker.js'], languageOptions: { globals: globals.worker } },
];
