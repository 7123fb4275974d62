// The message exchange: a column for each replica and client, time downward, an arrow for each message.

const kindsOfMessages = [
  [/^PROPOSE/, 'propose', 'proposal'],
  [/^VOTE$/, 'vote', 'vote'],
  [/VIEW|^PRE-VOTE/, 'view', 'view change'],
  [/^(SUBMIT|REPLY|READ|REFUSAL|WELCOME|RELAY)/, 'client', 'of and to clients'],
  [/^(FETCH|BLOCKS|CERT|STATE)/, 'fetch', 'fetching what is missing'],
];

function classOfMessage(kind) {
  const found = kindsOfMessages.find(([pattern]) => pattern.test(kind));
  return found ? found[1] : 'other';
}

class Sequence {
  constructor(host, model) {
    this.host = host;
    this.model = model;
    // Labels need room beside the columns: a narrow screen scrolls.
    this.left = 66;
    this.width = Math.max(Math.floor(host.clientWidth), this.left + 92 * model.columns.length + 40);
    this.front = svg('g');
    this.root = svg('svg', {width: this.width, role: 'img'}, this.front);
    this.labels = [];
    this.scale = model.messages.length <= 80 ? 1.6 : 1;  // a short exchange may be tall
    this.y = 58;
  }

  x(column) {
    const room = this.width - this.left - 116;
    const count = this.model.columns.length;
    return this.left + 44 + (count > 1 ? room * column / (count - 1) : room / 2);
  }

  draw() {
    this.place();
    this.bottom = this.y + 18;
    this.columns();
    this.times();
    for (const message of this.model.messages) {
      this.arrow(message);
    }
    for (const label of this.labels) {
      this.front.append(label.node);
    }
    const height = this.bottom + 40;
    this.root.setAttribute('height', height);
    this.root.setAttribute('viewBox', `0 0 ${this.width} ${height}`);
    this.root.setAttribute('aria-label', `The exchange of ${this.model.messages.length} messages over time.`);
    this.host.replaceChildren(this.legend(), this.conflicts(), element('div', {class: 'scroll'}, this.root),
                              element('p', {class: 'note'}, this.caption()));
  }

  // Heights of all sends and receipts: in order of time, pauses shortened, labels never over each other.
  place() {
    const moments = [];
    for (const message of this.model.messages) {
      moments.push({at: message.sent, message, sends: true});
      if (message.received !== null) {
        moments.push({at: Math.max(message.received, message.sent), message, sends: false});
      }
    }
    moments.sort((a, b) => a.at - b.at || Number(b.sends) - Number(a.sends));
    const labelled = new Set();
    this.marks = [];
    let before = moments[0].at;
    for (const moment of moments) {
      const pause = moment.at - before;
      before = moment.at;
      this.y += pause <= 0 ? 0 : this.scale * Math.min(24, Math.max(1.2, 2 * Math.log2(1 + pause / 3e-5)));
      if (moment.sends) {
        if (!labelled.has(moment.message.group)) {
          labelled.add(moment.message.group);
          this.label(moment.message);
        }
        moment.message.y = this.y;
      } else {
        this.y = Math.max(this.y, moment.message.y + 9 * this.scale);
        moment.message.end = this.y;
      }
      this.marks.push({at: moment.at, y: this.y});
    }
    for (const message of this.model.messages.filter(other => other.received === null)) {
      message.end = message.y + 16;
      this.y = Math.max(this.y, message.end);
    }
  }

  words(message) {
    const about = classOfMessage(message.kind) === 'view' || message.height === 0 ? `v${message.view}` : message.height;
    const version = message.version ? ` ≠${message.version}` : '';
    const nothing = message.height === 0 && message.view === 0;
    return `${message.kind}${nothing ? '' : ` ${about}`}${version}`;
  }

  label(message) {
    const text = this.words(message);
    const receivers = this.model.messages.filter(other => other.group === message.group).map(other => other.to);
    const leftward = receivers.every(column => column < message.from);
    const width = widthOf(text, 11, true) + 6;
    const x = this.x(message.from) + (leftward ? -6 : 6);
    const from = leftward ? x - width : x;
    const kind = message.version ? 'conflict' : classOfMessage(message.kind);
    for (const other of this.labels) {
      if (other.from < from + width && from < other.from + other.width && this.y - 4 < other.y + 15) {
        this.y = other.y + 19;
      }
    }
    this.labels.push({
      from, width, y: this.y - 4,
      node: svg('g', {}, svg('rect', {x: from + (leftward ? 3 : -3), y: this.y - 14, width, height: 13, rx: 3, class: 'ground'}),
                svg('text', {x, y: this.y - 4, class: `small t-${kind}${leftward ? ' end' : ''}`}, text)),
    });
  }

  columns() {
    this.model.columns.forEach((column, index) => {
      const x = this.x(index);
      this.front.append(svg('line', {x1: x, x2: x, y1: 34, y2: this.bottom, class: 'life'}));
      for (const y of [2, this.bottom]) {
        this.front.append(svg('rect', {x: x - 40, y, width: 80, height: 33, rx: column.client ? 16 : 4,
                                       class: column.traitor ? 'head-traitor' : 'head'}),
                          svg('text', {x, y: y + (column.traitor ? 14 : 21), class: 'middle strong'}, column.name));
        if (column.traitor) {
          this.front.append(svg('text', {x, y: y + 27, class: 'middle traitor'}, 'traitor'));
        }
      }
    });
  }

  // Times in the margin, as many as there is room for.
  times() {
    let free = 40;
    const span = this.marks.at(-1).at - this.marks[0].at;
    const digits = span < 0.05 ? 4 : span < 1 ? 3 : 2;
    let last = '';
    for (const mark of this.marks) {
      const text = `${mark.at.toFixed(digits)} s`;
      if (mark.y >= free && text !== last) {
        this.front.append(svg('text', {x: 0, y: mark.y + 4, class: 'small muted'}, text),
                          svg('line', {x1: this.left - 8, x2: this.left - 2, y1: mark.y, y2: mark.y, class: 'axis'}));
        free = mark.y + 22;
        last = text;
      }
    }
  }

  arrow(message) {
    const lost = message.received === null;
    const from = this.x(message.from);
    const share = lost ? 0.55 : 1;
    const toItself = message.from === message.to;
    const to = toItself ? from + 26 : from + (this.x(message.to) - from) * share;
    const kind = message.version ? 'conflict' : classOfMessage(message.kind);
    const path = `M${from.toFixed(1)} ${message.y.toFixed(1)}L${to.toFixed(1)} ${message.end.toFixed(1)}`;
    const group = svg('g', {}, svg('path', {d: path, class: 'hit'}), svg('path', {d: path, class: `m m-${kind}`}));
    if (lost) {
      group.append(svg('path', {d: `M${to - 5} ${message.end - 5}l10 10M${to + 5} ${message.end - 5}l-10 10`, class: 'miss'}));
    } else {
      const angle = Math.atan2(message.end - message.y, to - from) * 180 / Math.PI;
      group.append(svg('path', {d: 'M0 0l-8 -3.6v7.2z', class: `tip-of t-${kind}`,
                                transform: `translate(${to.toFixed(1)} ${message.end.toFixed(1)}) rotate(${angle.toFixed(1)})`}));
    }
    this.front.append(explain(group, this.tipOf(message)));
  }

  tipOf(message) {
    const name = column => this.model.columns[column].name;
    const lines = [
      `${message.kind}, view ${message.view}, height ${message.height}`,
      `${name(message.from)} → ${name(message.to)}`,
      message.received === null ? `sent at ${message.sent.toFixed(4)} s, never seen to arrive`
                                : `${message.sent.toFixed(4)} s → ${message.received.toFixed(4)} s (${
                                      seconds(Math.max(message.received - message.sent, 0))})`,
    ];
    if (message.detail) {
      lines.push(message.detail);
    }
    if (message.version) {
      lines.push(`Version ${message.version}: the same sender says different things of this height to others.`);
    }
    return lines.join('\n');
  }

  legend() {
    const present = new Set(this.model.messages.map(message => classOfMessage(message.kind)));
    const entries = [...kindsOfMessages.filter(([, name]) => present.has(name)).map(([, name, words]) => [name, words])];
    if (present.has('other')) {
      entries.push(['other', 'others']);
    }
    if (this.model.messages.some(message => message.version)) {
      entries.push(['conflict', 'contradiction (≠A, ≠B …)']);
    }
    const samples = entries.map(([name, words]) => element('li', {},
        svg('svg', {width: 34, height: 10, viewBox: '0 0 34 10'}, svg('path', {d: 'M0 5h27', class: `m m-${name}`}),
            svg('path', {d: 'M34 5l-8 -3.6v7.2z', class: `tip-of t-${name}`})), words));
    if (this.model.messages.some(message => message.received === null)) {
      samples.push(element('li', {}, svg('svg', {width: 34, height: 12, viewBox: '0 0 34 12'},
          svg('path', {d: 'M0 6h20', class: 'm'}), svg('path', {d: 'M18 1l10 10M28 1l-10 10', class: 'miss'})),
          'lost, or not seen to arrive'));
    }
    return element('ul', {class: 'legend'}, ...samples);
  }

  // Which words a liar used to whom.
  conflicts() {
    const said = new Map();
    for (const message of this.model.messages.filter(other => other.version)) {
      const topic = `${message.from}/${message.kind}/${message.view}/${message.height}`;
      const versions = said.get(topic) || new Map();
      const version = versions.get(message.version) || {message, to: new Set()};
      version.to.add(this.model.columns[message.to].name);
      versions.set(message.version, version);
      said.set(topic, versions);
    }
    const items = [...said.values()].filter(versions => versions.size > 1).slice(0, 6).map(versions => {
      const parts = [...versions.entries()].sort(([a], [b]) => a < b ? -1 : 1).map(
          ([letter, {message, to}]) => `≠${letter} names block ${message.claim} (to ${[...to].join(', ')})`);
      const {message} = [...versions.values()][0];
      return element('li', {}, `${this.model.columns[message.from].name} contradicts itself in ${
          message.kind} of view ${message.view}, height ${message.height}: ${parts.join('; ')}.`);
    });
    return items.length > 0 ? element('ul', {class: 'conflicts'}, ...items) : '';
  }

  caption() {
    const parts = ['Time runs downward; pauses are drawn shorter than they were.'];
    const {heartbeats, earlier, later} = this.model;
    if (heartbeats > 0) {
      parts.push(`Left out: ${number(heartbeats)} heartbeats and comparisons of clocks.`);
    }
    if (earlier + later > 0) {
      parts.push(`${number(earlier)} earlier and ${number(later)} later messages are left out.`);
    }
    return parts.join(' ');
  }
}

function drawSequence(host, model) {
  if (model) {
    new Sequence(host, model).draw();
  }
}
