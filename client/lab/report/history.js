// The operations of a violation: a row for each, a bar from its question to its answer. Only the order of the ends of
// the bars matters to a checker, so that is what is drawn.

function wordsOfOperation(operation) {
  const absent = 'absent';
  const value = text => text === null ? absent : `“${text}”`;
  const {op, key} = operation;
  const asked = {
    put: () => `put ${key} = ${value(operation.value)}`,
    get: () => `get ${key}`,
    del: () => `del ${key}`,
    cas: () => `cas ${key}: ${value(operation.expect)} to ${value(operation.value)}`,
  }[op];
  const answered = () => {
    if (operation.status === 'unknown') {
      return 'no answer';
    }
    if (operation.status === 'fail') {
      return 'refused';
    }
    return op === 'get' ? value(operation.out) : operation.applied === false ? 'not applied' : 'done';
  };
  return [asked ? asked() : `${op} ${key}`, answered()];
}

class OperationsPicture {
  constructor(host, model) {
    this.host = host;
    this.operations = [...model.operations].sort((a, b) => a.call - b.call);
    this.leftOut = model.left_out;
    this.width = Math.max(300, Math.floor(host.clientWidth) - 4);
    this.narrow = this.width < 620;
    const ends = this.operations.flatMap(operation => [operation.call, operation.ret]).filter(end => end !== null);
    this.ends = [...new Set(ends)].sort((a, b) => a - b);
    this.left = this.narrow ? 4 : Math.min(360, 20 + Math.max(...this.operations.map(
        operation => widthOf(this.name(operation), 12))));
    this.right = 12;
  }

  name(operation) {
    return `client ${operation.client}: ${wordsOfOperation(operation)[0]}`;
  }

  x(time) {
    const place = time === null ? this.ends.length : this.ends.indexOf(time);
    return this.left + (this.width - this.left - this.right) * place / Math.max(this.ends.length, 1);
  }

  draw() {
    const row = this.narrow ? 40 : 26;
    const root = svg('svg', {width: this.width, role: 'img', 'aria-label': 'The operations that do not fit together'});
    let y = 4;
    for (const operation of this.operations) {
      root.append(this.row(operation, y));
      y += row;
    }
    root.setAttribute('height', y + 4);
    root.setAttribute('viewBox', `0 0 ${this.width} ${y + 4}`);
    const more = this.leftOut > 0 ? ` ${number(this.leftOut)} more operations are left out.` : '';
    this.host.replaceChildren(root, element('p', {class: 'note'},
        `A bar reaches from a question to its answer (what was answered stands at its right); bars that overlap were under way at the same time. Lengths show the order, not the time.${more}`));
  }

  row(operation, top) {
    const y = this.narrow ? top + 17 : top;
    const [, answer] = wordsOfOperation(operation);
    const from = this.x(operation.call);
    const to = Math.max(this.x(operation.ret), from + 8);
    const open = operation.ret === null;
    const kind = ['put', 'get', 'cas', 'del'].includes(operation.op) ? operation.op : 'get';
    const text = `→ ${answer}`;
    const fits = widthOf(text, 11.5, true) < to - from - 10;
    const right = to + 6 + widthOf(text, 11.5, true) < this.width;
    const place = fits ? [from + 6, ''] : right ? [to + 5, ''] : [from - 5, ' end'];
    const span = open ? `asked at ${operation.call.toFixed(4)} s, never answered: may take effect at any time after`
                      : `${operation.call.toFixed(4)} s to ${operation.ret.toFixed(4)} s`;
    return explain(svg('g', {},
        svg('text', {x: this.narrow ? 4 : 0, y: top + 14}, fitted(this.name(operation), this.narrow ? this.width - 8 : this.left - 12, 12)),
        svg('line', {x1: this.left, x2: this.width - this.right, y1: y + 18, y2: y + 18, class: 'grid'}),
        svg('rect', {x: from, y: y + 1, width: to - from, height: 17, rx: 3,
                     class: `op op-${kind}${open ? ' op-open' : ''}`}),
        svg('text', {x: place[0], y: y + 13.5, class: `small strong halo${place[1]}`}, text)),
        `${this.name(operation)} → ${answer}\n${span}`);
  }
}

function drawHistory(host, model) {
  if (model) {
    new OperationsPicture(host, model).draw();
  }
}
