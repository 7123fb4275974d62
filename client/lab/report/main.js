// Draws every chart into its place, again when its width changes.

const runs = JSON.parse(document.getElementById('data').textContent);

function draw(host) {
  const run = runs[Number(host.dataset.run)];
  if (host.classList.contains('timeline')) {
    drawTimeline(host, run.timeline);
  } else if (host.classList.contains('sequence')) {
    drawSequence(host, run.sequence);
  } else {
    drawHistory(host, run.histories[Number(host.dataset.violation)]);
  }
}

const drawnAt = new Map();
const watcher = new ResizeObserver(entries => {
  for (const entry of entries) {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && drawnAt.get(entry.target) !== width) {
      drawnAt.set(entry.target, width);
      requestAnimationFrame(() => {
        hideTip();
        draw(entry.target);
      });
    }
  }
});
for (const host of document.querySelectorAll('.chart')) {
  drawnAt.set(host, Math.round(host.getBoundingClientRect().width));
  draw(host);
  watcher.observe(host);
}
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') {
    hideTip();
  }
});
