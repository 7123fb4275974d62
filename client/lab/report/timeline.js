// The run over time: phases, numbered marks, a lane for each replica, throughput, latency, suspicion; one axis for all.

class Timeline {
  constructor(host, model) {
    this.host = host;
    this.model = model;
    this.width = Math.max(300, Math.floor(host.clientWidth));
    this.narrow = this.width < 560;
    this.left = this.narrow ? 58 : 92;
    this.right = this.narrow ? 8 : 16;
    this.plot = this.width - this.left - this.right;
    this.back = svg('g');   // shading and grid
    this.front = svg('g');  // everything else
    this.root = svg('svg', {width: this.width, role: 'img', tabindex: 0}, this.back, this.front);
    this.lie = hatch(this.root, 45, '--fault', '--fault-soft', 7);
    this.env = hatch(this.root, -45, '--env', '--env-soft', 9);
    this.other = hatch(this.root, 45, '--env', '--bg', 5);
    this.broken = hatch(this.root, 135, '--bad', '--bad-soft', 5);
    this.quiet = hatch(this.root, 45, '--bad', '--bg', 9);
    this.y = 0;
  }

  x(time) {
    return this.left + this.plot * Math.min(1, Math.max(0, time / this.model.end));
  }

  add(...nodes) {
    this.front.append(...nodes.filter(Boolean));
  }

  text(x, y, content, classes) {
    return svg('text', {x, y, class: classes || ''}, content);
  }

  draw() {
    this.phases();
    this.marks();
    for (const lane of this.model.lanes) {
      this.lane(lane);
    }
    this.key();
    this.brackets();
    this.throughput();
    this.latency();
    this.suspicion();
    this.axis();
    this.finish();
  }

  phases() {
    const names = {during: this.narrow ? 'faults' : 'faults in force'};
    for (const phase of this.model.phases) {
      const from = this.x(phase.from);
      const room = this.x(phase.to) - from;
      this.add(svg('rect', {x: from, y: 0.5, width: Math.max(room, 0.5), height: 36, class: 'phase'}));
      const middle = from + room / 2;
      const name = fitted(names[phase.name] || phase.name, room - 8, 12, true);
      const figures = phase.ok > 0 ? `${number(phase.rate)}/s · ${number(phase.p50)} ms` : 'no answers';
      const fits = widthOf(figures, 11) < room - 6;
      this.add(this.text(middle, fits ? 15 : 23, name, 'middle strong'),
               fits ? this.text(middle, 30, figures, 'middle small muted') : null);
    }
    this.top = 0;
    this.y = 42;
  }

  // Pills with a shape and the number of the list below, in up to three rows. Where there are too many, neighbours in
  // time share a pill: no more than needed.
  marks() {
    for (const reach of [0, 4, 8, 16, 32, 64, 128, 1e9]) {
      const pills = this.pills(reach);
      if (pills) {
        this.stems = pills.map(pill => ({x: pill.at, y: this.y + pill.row * 20 + 16}));
        pills.forEach(pill => this.pill(pill));
        this.y += Math.max(-1, ...pills.map(pill => pill.row)) * 20 + 28;
        return;
      }
    }
  }

  // Nothing when they do not fit.
  pills(reach) {
    const pills = [];
    this.model.marks.forEach((mark, index) => {
      const last = pills.at(-1);
      if (last && reach > 0 && this.x(mark.at) - last.at <= reach) {
        last.marks.push(index);
      } else {
        pills.push({at: this.x(mark.at), marks: [index]});
      }
    });
    const rows = [];
    for (const pill of pills) {
      const width = 21 + widthOf(this.label(pill), 11, true);
      const middle = (pill.at + this.x(this.model.marks[pill.marks.at(-1)].at)) / 2;
      pill.from = Math.min(Math.max(middle - width / 2, this.left - 4), this.width - width - 1);
      pill.to = pill.from + width;
      pill.row = rows.findIndex(end => end + 3 <= pill.from);
      if (pill.row < 0) {
        pill.row = rows.length;
      }
      rows[pill.row] = pill.to;
    }
    return rows.length <= 3 ? pills : null;
  }

  label(pill) {
    const first = pill.marks[0] + 1;
    return pill.marks.length === 1 ? `${first}` : `${first}–${pill.marks.at(-1) + 1}`;
  }

  pill(pill) {
    const order = ['violation', 'evidence', 'crash', 'inject', 'mend', 'restart', 'view', 'stall'];
    const marks = pill.marks.map(index => this.model.marks[index]);
    const kind = order.find(name => marks.some(mark => mark.kind === name)) || 'note';
    const y = this.y + pill.row * 20;
    const {from} = pill;
    const text = pill.marks.slice(0, 8).map(index => {
      const mark = this.model.marks[index];
      return `${index + 1}  ${seconds(mark.at)}  ${mark.kind}: ${mark.text}`;
    });
    if (pill.marks.length > 8) {
      text.push(`and ${pill.marks.length - 8} more`);
    }
    this.add(explain(svg('g', {},
        svg('rect', {x: from, y, width: pill.to - pill.from, height: 16, rx: 8, class: 'pill'}),
        sign(kind, from + 9, y + 8), this.text(from + 16, y + 12, this.label(pill), 'small strong')), text.join('\n')));
  }

  lane(lane) {
    const bar = 19;
    const y = this.y;
    const name = this.narrow ? `R${lane.id}` : `Replica ${lane.id}`;
    this.add(this.text(0, y + 14, name, 'strong'));
    if (lane.traitor) {
      this.add(this.text(0, y + 28, 'traitor', 'traitor'));
    }
    for (const segment of lane.segments) {
      this.segment(segment, y, bar);
    }
    for (const mark of this.model.marks) {
      if (mark.replica === lane.id && ['crash', 'restart', 'evidence', 'violation'].includes(mark.kind)) {
        const x = this.x(mark.at);
        this.add(explain(svg('g', {}, svg('circle', {cx: x, cy: y + bar / 2, r: 8, class: 'sign-disc'}),
                             sign(mark.kind, x, y + bar / 2)), `${seconds(mark.at)}  ${mark.kind}: ${mark.text}`));
      }
    }
    const rows = this.strips(lane.faults, y + bar + 3);
    this.y += Math.max(bar + rows * 16 + (rows > 0 ? 3 : 0), lane.traitor ? 31 : 0) + 9;
  }

  segment(segment, y, height) {
    const from = this.x(segment.from);
    const room = this.x(segment.to) - from;
    const kinds = {primary: 'primary', backup: 'backup', down: 'down', halted: 'broken', diverged: 'broken'};
    const kind = kinds[segment.state] || 'other';
    const rect = svg('rect', {x: from, y: y + 0.5, width: Math.max(room - 1, 0.7), height, class: `bar-${kind}`});
    if (kind === 'broken' || kind === 'other') {
      rect.setAttribute('fill', kind === 'broken' ? this.broken : this.other);
    }
    this.add(rect);
    const long = {primary: `primary · view ${segment.view}`, backup: `view ${segment.view}`}[kind] || segment.state;
    const short = {primary: `P v${segment.view}`, backup: `v${segment.view}`}[kind] || segment.state;
    const inset = kind === 'primary' || kind === 'backup' ? 6 : 12;
    const bold = kind !== 'backup';
    const text = [long, short].find(words => widthOf(words, 11.5, bold) <= room - inset - 4);
    if (text) {
      const plain = kind === 'other' || kind === 'broken';
      this.add(this.text(from + inset, y + 14, text, `small ${plain ? 'halo strong' : `on-${kind}`}`));
    }
  }

  // Below the lane, beside each other where they overlap in time. Gives the number of rows.
  strips(faults, y) {
    const rows = [];
    for (const fault of faults) {
      const from = this.x(fault.from);
      const to = Math.max(this.x(fault.to), from + 2);
      let row = rows.findIndex(end => end <= from + 0.5);
      if (row < 0) {
        row = Math.min(rows.length, 2);
      }
      rows[row] = Math.max(rows[row] || 0, to);
      const top = y + row * 16;
      const kind = fault.lie ? 'lie' : 'env';
      const text = fitted(fault.text, to - from - 10, 10.5, true);
      const ground = text ? svg('rect', {x: from + 3, y: top + 1, width: widthOf(text, 10.5, true) + 6, height: 11,
                                         rx: 2, style: 'fill:var(--bg)'}) : null;
      this.add(explain(svg('g', {}, svg('rect', {x: from, y: top, width: to - from, height: 13, class: `strip-${kind}`,
                                                 fill: fault.lie ? this.lie : this.env}),
                           ground, text ? this.text(from + 6, top + 10, text, `on-${kind}`) : null),
                       `${fault.text}\n${seconds(fault.from)} to ${seconds(fault.to)}`));
    }
    return rows.length;
  }

  // What the looks of the lanes mean; only those that occur.
  key() {
    const has = test => this.model.lanes.some(lane => lane.segments.some(segment => test(segment.state)));
    const known = ['primary', 'backup', 'down', 'halted', 'diverged'];
    const list = [
      [has(state => state === 'primary'), 'bar-primary', '', 'primary'],
      [has(state => state === 'backup'), 'bar-backup', '', 'backup'],
      [has(state => state === 'down'), 'bar-down', '', 'down'],
      [has(state => !known.includes(state)), 'bar-other', this.other, 'not serving'],
      [has(state => state === 'halted' || state === 'diverged'), 'bar-broken', this.broken, 'halted or diverged'],
      [this.model.lanes.some(lane => lane.faults.some(fault => fault.lie)), 'strip-lie', this.lie, 'told to lie'],
      [this.model.lanes.some(lane => lane.faults.some(fault => !fault.lie)), 'strip-env', this.env,
       'fault of link, clock, disk or process'],
    ];
    let x = this.left;
    let y = this.y + 2;
    for (const [present, classes, fill, text] of list) {
      if (!present) {
        continue;
      }
      const room = 20 + widthOf(text, 11) + 16;
      if (x + room > this.width && x > this.left) {
        x = this.left;
        y += 16;
      }
      const box = svg('rect', {x, y, width: 14, height: 10, class: classes});
      if (fill) {
        box.setAttribute('fill', fill);
      }
      this.add(box, this.text(x + 19, y + 9.5, text, 'small muted'));
      x += room;
    }
    this.y = y + 22;
  }

  brackets() {
    const {gap, recovery} = this.model;
    this.bracket(gap, gap && `${gap.text} without an answer`, 'longest gap', 'bracket', 'bad-text');
    this.bracket(recovery, recovery && `answered ${recovery.text} after the last step`, 'recovery', 'bracket good-line',
                 'good-text');
    this.y += gap || recovery ? 4 : 0;
  }

  bracket(span, words, name, classes, textClass) {
    if (!span) {
      return;
    }
    const y = this.y + 9;
    const from = this.x(span.from);
    const to = Math.max(this.x(span.to), from + 1.5);
    const right = text => to + 8 + widthOf(text, 11.5, true) < this.width;
    const left = text => from - 8 - widthOf(text, 11.5, true) > this.left;
    const text = [words, span.text].find(candidate => right(candidate) || left(candidate)) || span.text;
    const fits = right(text);
    this.add(this.text(0, y + 4, name, 'small muted'),
             svg('path', {d: `M${from} ${y - 5}v10M${from} ${y}H${to}M${to} ${y - 5}v10`, class: classes}),
             this.text(fits ? to + 7 : from - 7, y + 4, text, `small halo ${textClass}${fits ? '' : ' end'}`));
    this.y += 18;
  }

  heading(text, legend) {
    this.add(this.text(this.left, this.y + 12, text, 'strong halo'));
    let x = this.left + widthOf(text, 12, true) + 20;
    let y = this.y;
    const room = (legend || []).reduce((sum, [, words]) => sum + 42 + widthOf(words, 11), 0);
    if (x + room > this.width && room > 0) {
      x = this.left;
      y += 16;
    }
    for (const [sample, words] of legend || []) {
      this.add(sample(x, y + 8), this.text(x + 28, y + 12, words, 'small muted halo'));
      x += 42 + widthOf(words, 11);
    }
    this.y = y + 22;
  }

  // A plot's frame; `lines` are [value, label] with y given by `place`.
  frame(height, lines, place) {
    for (const [value, label] of lines) {
      const y = place(value);
      this.back.append(svg('line', {x1: this.left, x2: this.width - this.right, y1: y, y2: y, class: 'grid'}));
      this.add(this.text(this.left - 6, y + 4, label, 'small muted end'));
    }
  }

  throughput() {
    const {series, gap} = this.model;
    this.heading('Operations answered per second');
    const height = 104;
    const top = this.y;
    const highest = Math.max(...series.rate) || 1;
    const scale = ticks(highest, 4);
    const max = Math.max(highest * 1.05, scale.list.at(-1));
    const y = value => top + height - height * value / max;
    this.frame(height, scale.list.map(value => [value, number(value)]), y);
    if (gap) {
      const from = this.x(gap.from);
      this.add(svg('rect', {x: from, y: top, width: Math.max(this.x(gap.to) - from, 1), height, fill: this.quiet,
                            opacity: 0.45}));
    }
    let outline = '';
    series.rate.forEach((value, index) => {
      const from = this.x(index * series.bucket).toFixed(1);
      const to = this.x((index + 1) * series.bucket).toFixed(1);
      outline += `${index === 0 ? 'M' : 'L'}${from} ${y(value).toFixed(1)}H${to}`;
    });
    this.add(svg('path', {d: `${outline}V${y(0)}H${this.left}Z`, class: 'area'}),
             svg('path', {d: outline, class: 'curve'}));
    this.y = top + height;
    this.misses(series);
    this.y += 18;
  }

  // Questions that got no answer or a refusal: a cross for each bucket that has some.
  misses(series) {
    if (!series.failed.some(Boolean) && !series.unknown.some(Boolean)) {
      return;
    }
    const y = this.y + 10;
    this.add(this.text(this.left - 6, y + 4, this.narrow ? 'failed' : 'no answer', 'small muted end'));
    series.failed.forEach((failed, index) => {
      if (failed + series.unknown[index] > 0) {
        const x = this.x((index + 0.5) * series.bucket);
        this.add(svg('path', {d: `M${x - 3} ${y - 3}l6 6M${x + 3} ${y - 3}l-6 6`, class: 'miss'}));
      }
    });
    this.y += 16;
  }

  latency() {
    const {series} = this.model;
    const values = [...series.p50, ...series.max].filter(value => value !== null && value > 0);
    if (values.length === 0) {
      return;
    }
    this.heading('Latency, ms', [
      [(x, y) => svg('path', {d: `M${x} ${y}h22`, class: 'curve'}), 'median'],
      [(x, y) => svg('path', {d: `M${x} ${y}h22`, class: 'curve dashed'}), '99th percentile'],
      [(x, y) => svg('circle', {cx: x + 20, cy: y, r: 2.2, class: 'dot'}), 'slowest'],
    ]);
    const height = 104;
    const top = this.y;
    const low = Math.log10(Math.min(...values)) - 0.08;
    const high = Math.max(Math.log10(Math.max(...values)) + 0.08, low + 0.7);
    const y = value => top + height * (1 - (Math.log10(Math.max(value, 1e-6)) - low) / (high - low));
    this.frame(height, this.decades(low, high), y);
    this.add(svg('path', {d: this.brokenLine(series.p50, series.bucket, y), class: 'curve'}),
             svg('path', {d: this.brokenLine(series.p99, series.bucket, y), class: 'curve dashed'}));
    series.max.forEach((value, index) => {
      if (value !== null) {
        this.add(svg('circle', {cx: this.x((index + 0.5) * series.bucket), cy: y(value), r: 1.9, class: 'dot'}));
      }
    });
    this.y = top + height + 18;
  }

  // Lines of a logarithmic axis: powers of ten, with 2 and 5 between when there are few.
  decades(low, high) {
    const factors = high - low > 2.2 ? [1] : [1, 2, 5];
    const list = [];
    for (let power = Math.floor(low); power <= high; ++power) {
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (Math.log10(value) >= low && Math.log10(value) <= high) {
          list.push([value, value >= 1000 ? `${value / 1000}k` : String(Number(value.toPrecision(1)))]);
        }
      }
    }
    return list;
  }

  // A line with holes where there is nothing to show for more than `hole` buckets; a lone value is a short dash.
  brokenLine(values, bucket, y, hole = 0) {
    let path = '';
    let before = -1e9;
    values.forEach((value, index) => {
      if (value === null || value === undefined) {
        return;
      }
      const x = this.x((index + 0.5) * bucket);
      const joined = index - before <= hole + 1;
      before = index;
      path += `${joined ? 'L' : `M${(x - 2).toFixed(1)} ${y(value).toFixed(1)}L`}${x.toFixed(1)} ${y(value).toFixed(1)}`;
    });
    return path || 'M0 0';
  }

  suspicion() {
    const {suspicion} = this.model;
    if (!suspicion) {
      return;
    }
    const cap = suspicion.threshold * 2.5;
    const dashes = ['', '6 3', '2 3', '8 3 2 3', '1 2', '10 4'];
    const shown = suspicion.peers.filter(peer => Math.max(...peer.phi.map(phi => phi || 0)) >= suspicion.threshold / 2);
    const style = peer => `stroke-dasharray:${dashes[peer.id % dashes.length] || 'none'}`;
    const colour = peer => `phi p${peer.id % 4}`;
    this.heading('Suspicion (phi) of', shown.map(peer => [
      (x, y) => svg('path', {d: `M${x} ${y}h22`, class: colour(peer), style: style(peer)}), `replica ${peer.id}`]));
    const height = 76;
    const top = this.y;
    const y = value => top + height * (1 - Math.min(value, cap) / cap);
    this.frame(height, [[0, '0'], [suspicion.threshold, number(suspicion.threshold)], [cap, `${number(cap)}+`]], y);
    const label = this.narrow ? 'suspected' : 'above: suspected';
    for (const peer of shown) {
      this.add(svg('path', {d: this.brokenLine(peer.phi, suspicion.bucket, y, 4), class: colour(peer), style: style(peer)}));
    }
    this.add(this.text(this.width - this.right - 2, y(suspicion.threshold) - 4, label, 'small muted end halo'));
    this.y = top + height + 18;
  }

  axis() {
    const bottom = this.y;
    this.bottom = bottom;
    const {list, step} = ticks(this.model.end, Math.max(3, Math.floor(this.plot / (this.narrow ? 45 : 80))));
    const digits = step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0;
    this.add(svg('line', {x1: this.left, x2: this.width - this.right, y1: bottom, y2: bottom, class: 'axis'}));
    for (const time of list) {
      const x = this.x(time);
      this.back.append(svg('line', {x1: x, x2: x, y1: 38, y2: bottom, class: 'grid'}));
      this.add(svg('line', {x1: x, x2: x, y1: bottom, y2: bottom + 5, class: 'axis'}),
               this.text(x, bottom + 18, time.toFixed(digits), 'small muted middle'));
    }
    const unit = `seconds since the start${this.model.virtual ? ', virtual' : ''}`;
    this.add(this.text(this.left + this.plot / 2, bottom + 34, unit, 'small muted middle'));
    this.y = bottom + 42;
  }

  finish() {
    for (const phase of this.model.phases.filter(other => other.name === 'during')) {
      const from = this.x(phase.from);
      const to = this.x(phase.to);
      this.back.prepend(svg('rect', {x: from, y: 0, width: to - from, height: this.bottom, class: 'during'}));
      this.back.append(svg('line', {x1: from, x2: from, y1: 0, y2: this.bottom, class: 'edge'}),
                       svg('line', {x1: to, x2: to, y1: 0, y2: this.bottom, class: 'edge'}));
    }
    for (const stem of this.stems.slice(0, 40)) {
      this.back.append(svg('line', {x1: stem.x, x2: stem.x, y1: stem.y, y2: this.bottom, class: 'stem'}));
    }
    this.root.setAttribute('height', this.y);
    this.root.setAttribute('viewBox', `0 0 ${this.width} ${this.y}`);
    this.root.setAttribute('aria-label', 'The run over time: replicas, throughput and latency. ' +
                                             'Arrow keys move a cursor that tells the values.');
    this.listen();
    this.host.replaceChildren(this.root);
  }

  // ---- The cursor
  listen() {
    this.cursor = svg('line', {y1: 38, y2: this.bottom, class: 'cursor', visibility: 'hidden'});
    this.root.append(this.cursor);
    const at = event => {
      const box = this.root.getBoundingClientRect();
      const x = (event.clientX - box.left) * this.width / box.width;
      return (x - this.left) / this.plot * this.model.end;
    };
    const follow = event => {
      const time = at(event);
      if (event.target.closest('.explained')) {  // tells about itself
        this.cursor.setAttribute('visibility', 'hidden');
      } else if (time < 0 || time > this.model.end) {
        this.leave();
      } else {
        this.point(time, event.clientX, event.clientY);
      }
    };
    this.root.addEventListener('pointerdown', follow);
    this.root.addEventListener('pointermove', follow);
    this.root.addEventListener('pointerleave', event => leaveWith(event, () => this.leave()));
    this.root.addEventListener('blur', () => this.leave());
    this.root.addEventListener('keydown', event => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (step) {
        event.preventDefault();
        this.time = Math.min(this.model.end, Math.max(0, (this.time || 0) + step * this.model.series.bucket));
        const box = this.root.getBoundingClientRect();
        this.point(this.time, box.left + this.x(this.time) * box.width / this.width, box.top + 60);
      }
    });
  }

  leave() {
    this.cursor.setAttribute('visibility', 'hidden');
    hideTip();
  }

  point(time, clientX, clientY) {
    this.time = time;
    const x = this.x(time);
    this.cursor.setAttribute('x1', x);
    this.cursor.setAttribute('x2', x);
    this.cursor.setAttribute('visibility', 'visible');
    showTip(this.values(time), clientX, clientY);
  }

  values(time) {
    const {series, lanes, suspicion} = this.model;
    const index = Math.min(series.rate.length - 1, Math.floor(time / series.bucket));
    const lines = [`${time.toFixed(series.bucket < 0.01 ? 3 : 2)} s`, `${number(series.rate[index])} operations / s`];
    if (series.p50[index] !== null) {
      lines.push(`latency: median ${number(series.p50[index])}, 99 % ${number(series.p99[index])}, slowest ${
          number(series.max[index])} ms`);
    }
    const missed = series.failed[index] + series.unknown[index];
    if (missed > 0) {
      lines.push(`${missed} without an answer or refused`);
    }
    for (const lane of lanes) {
      const segment = lane.segments.find(part => part.from <= time && time < part.to);
      const faults = lane.faults.filter(fault => fault.from <= time && time < fault.to).map(fault => fault.text);
      const peer = suspicion && suspicion.peers.find(other => other.id === lane.id);
      const phi = peer && peer.phi[Math.min(peer.phi.length - 1, Math.floor(time / suspicion.bucket))];
      const state = !segment ? 'not seen' : segment.state === 'down' ? 'down' : `${segment.state}, view ${segment.view}`;
      lines.push(`replica ${lane.id}: ${state}${phi >= 1 ? `, phi ${number(phi)}` : ''}${
          faults.length ? ` [${faults.join('; ')}]` : ''}`);
    }
    return lines.join('\n');
  }
}

function drawTimeline(host, model) {
  new Timeline(host, model).draw();
}
