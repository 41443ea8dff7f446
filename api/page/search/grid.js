// A list of cards of which only those near the window are in the document: 10,000 scroll like 10.

const GAP = 28; // pixels between cards
const NARROWEST = 272;
const BEYOND = 1.0; // heights of the window that are kept ready above and below it

export function grid(list, makeCard, onEnd) {
  const cards = new Map(); // index -> card
  let hits = [];
  let columns = 1;
  let rowHeight = 300;
  let cardWidth = 0;
  let pending = 0;

  function measure() {
    const width = list.clientWidth;
    if (!width) return;
    columns = Math.max(1, Math.floor((width + GAP) / (NARROWEST + GAP)));
    cardWidth = (width - GAP * (columns - 1)) / columns;
    list.style.setProperty("--card-width", `${cardWidth}px`);
    const probe = cards.values().next().value ?? (hits.length ? put(0) : null);
    if (probe) rowHeight = probe.offsetHeight + GAP;
    const rows = Math.ceil(hits.length / columns);
    list.style.height = rows ? `${rows * rowHeight - GAP}px` : "";
    for (const [index, card] of cards) place(card, index);
  }

  function place(card, index) {
    const column = index % columns;
    const row = Math.floor(index / columns);
    card.style.transform = `translate(${column * (cardWidth + GAP)}px, ${row * rowHeight}px)`;
  }

  function put(index) {
    const card = makeCard(hits[index]);
    card.dataset.index = index;
    card.dataset.clip = hits[index].clip_id;
    card.setAttribute("aria-setsize", hits.length);
    card.setAttribute("aria-posinset", index + 1);
    place(card, index);
    // In order of rank, which is the order of the Tab key.
    let after = null;
    for (const [other, present] of cards) {
      if (other > index && (after === null || other < Number(after.dataset.index))) after = present;
    }
    list.insertBefore(card, after);
    cards.set(index, card);
    return card;
  }

  function range() {
    const top = list.getBoundingClientRect().top;
    const height = window.innerHeight;
    const first = Math.floor((-top - height * BEYOND) / rowHeight) * columns;
    const last = (Math.floor((-top + height * (1 + BEYOND)) / rowHeight) + 1) * columns;
    return [Math.max(0, first), Math.min(hits.length, last)];
  }

  function show() {
    pending = 0;
    if (!list.clientWidth) return;
    const [first, last] = range();
    for (const [index, card] of cards) {
      // What has the focus stays, or the keyboard would lose its place.
      if ((index < first || index >= last) && !card.contains(document.activeElement)) {
        card.remove();
        cards.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) if (!cards.has(index)) put(index);
    if (hits.length && last === hits.length) onEnd();
  }

  const soon = () => {
    pending ||= requestAnimationFrame(show);
  };

  function focusCard(index) {
    if (index < 0 || index >= hits.length) return;
    const card = cards.get(index) ?? put(index);
    const link = card.querySelector("a");
    link.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
    soon();
  }

  list.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const index = Number(card.dataset.index);
    let next = index + steps[event.key];
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = hits.length - 1;
    if (Number.isNaN(next)) return;
    event.preventDefault();
    focusCard(Math.max(0, Math.min(hits.length - 1, next)));
  });
  window.addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(() => {
    measure();
    soon();
  }).observe(list);

  return {
    // Shows these hits; cards that stay as they are stay in place.
    show(next) {
      const same = (index) => next[index] && JSON.stringify(next[index]) === JSON.stringify(hits[index]);
      for (const [index, card] of cards) {
        if (same(index)) card.setAttribute("aria-setsize", next.length);
        else {
          card.remove();
          cards.delete(index);
        }
      }
      hits = next;
      list.classList.toggle("with-actions", hits.some((hit) => hit.actions.length));
      list.classList.toggle("with-captions", hits.some((hit) => hit.caption));
      measure();
      show();
    },
    hits: () => hits,
  };
}
