/** A metric as an expression asks for it. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Matcher {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
}

export interface ExpressionNames {
  readonly selectors: readonly Selector[];
  /** Labels of `by`, `without`, `on`, `ignoring`, `group_left`, `group_right`. */
  readonly groupingLabels: readonly string[];
}

const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const WORDS = new Set(['and', 'or', 'unless', 'offset', 'bool', 'atan2', 'inf', 'nan']);
const TOKEN =
  /\s+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[a-zA-Z_:][\w:]*|\d[\w.]*|=~|!~|!=|==|<=|>=|[-+*/%^=<>(){}[\],]/gy;

/**
 * The metrics and labels that a PromQL expression names. Reads the language as far as that needs,
 * and refuses what it doesn't know rather than pass over a name.
 * @throws SyntaxError
 */
export function namesIn(expression: string): ExpressionNames {
  return new Reader(tokenize(expression)).read();
}

function tokenize(expression: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < expression.length) {
    const at = TOKEN.lastIndex;
    const [token] = TOKEN.exec(expression) ?? [];
    if (token === undefined) throw new SyntaxError(`not PromQL at ${at}: ${expression}`);
    if (token.trim() !== '') tokens.push(token);
  }
  return tokens;
}

class Reader {
  readonly #tokens: readonly string[];
  #at = 0;
  readonly #selectors: Selector[] = [];
  readonly #groupingLabels: string[] = [];

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  read(): ExpressionNames {
    for (let token = this.#take(); token !== undefined; token = this.#take()) {
      if (token === '{') throw new SyntaxError('a selector without a metric name');
      if (token === '[') this.#skipTo(']');
      else if (/^[a-zA-Z_:]/.test(token)) this.#onName(token);
    }
    return { selectors: this.#selectors, groupingLabels: this.#groupingLabels };
  }

  #onName(name: string): void {
    if (GROUPING.has(name)) {
      if (this.#peek() === '(') this.#groupingLabels.push(...this.#labelList());
      return;
    }
    if (WORDS.has(name.toLowerCase())) return;
    const next = this.#peek();
    // A function, or an aggregation, whose grouping may come first.
    if (next === '(' || (next !== undefined && GROUPING.has(next) && !name.includes('_'))) return;
    this.#selectors.push({ metric: name, matchers: next === '{' ? this.#matchers() : [] });
  }

  #labelList(): string[] {
    this.#take();
    const labels: string[] = [];
    for (let token = this.#take(); token !== ')'; token = this.#take()) {
      if (token === undefined) throw new SyntaxError('a list of labels without an end');
      if (token !== ',') labels.push(token);
    }
    return labels;
  }

  #matchers(): Matcher[] {
    this.#take();
    const matchers: Matcher[] = [];
    while (this.#peek() !== '}') {
      const [label, operator, quoted] = [this.#take(), this.#take(), this.#take()];
      if (label === undefined || quoted === undefined || !/^(?:=~?|!=|!~)$/.test(operator ?? '')) {
        throw new SyntaxError('a selector that cannot be read');
      }
      matchers.push({
        label,
        operator: operator as Matcher['operator'],
        value: quoted.slice(1, -1).replace(/\\(.)/g, '$1'),
      });
      if (this.#peek() === ',') this.#take();
    }
    this.#take();
    return matchers;
  }

  #skipTo(end: string): void {
    while (this.#take() !== end) if (this.#peek() === undefined) throw new SyntaxError(`no ${end}`);
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  #take(): string | undefined {
    return this.#tokens[this.#at++];
  }
}

/** Whether a label's value is one that the matcher asks for; regular expressions are anchored. */
export function matches({ operator, value }: Matcher, actual: string): boolean {
  switch (operator) {
    case '=':
      return actual === value;
    case '!=':
      return actual !== value;
    case '=~':
      return new RegExp(`^(?:${value})$`).test(actual);
    case '!~':
      return !new RegExp(`^(?:${value})$`).test(actual);
  }
}

/** The values that a matcher spells out: `a` and `b` of `a|b`, nothing of `5..`. */
export function valuesSpelledOut({ operator, value }: Matcher): readonly string[] {
  const alternatives = operator.endsWith('~') ? value.split('|') : [value];
  return alternatives.filter((each) => /^[\w/-]+(?:\.\d+)?$/.test(each));
}
