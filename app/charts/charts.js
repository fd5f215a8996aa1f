// A script for pages and reports. While the pointer is on an entry of a legend, or after a click on it, the charts show
// the series of other colours faintly. Texts of charts and of their tooltips get the paper's symbols typeset.
(() => {
  if (window.ticketscopeCharts) return;
  window.ticketscopeCharts = true;
  // Vega writes the colours of marks as attributes.
  const style = document.head.appendChild(document.createElement("style"));
  const marks = ["line", "symbol", "area", "text", "rect", "rule"].map(kind => `svg.marks .mark-${kind}`);
  const entry = event => event.target.closest?.(".ENTRY");
  let chosen = "";
  const show = colour => {
    const others = `:not([stroke="${colour}" i]):not([fill="${colour}" i])`;
    const faint = marks.map(mark => `${mark}[class*="role-mark"] > *${others}`).join(",");
    style.textContent = colour ? `${faint} {opacity: 0.08 !important;}` : "";
  };
  const choose = target => {
    chosen = chosen === target.dataset.colour ? "" : target.dataset.colour;
    document.querySelectorAll(".ENTRY").forEach(item => {
      item.setAttribute("aria-pressed", String(item.dataset.colour === chosen));
    });
    show(chosen);
  };
  document.addEventListener("mouseover", event => show(entry(event)?.dataset.colour ?? chosen));
  document.addEventListener("click", event => entry(event) && choose(entry(event)));
  document.addEventListener("keydown", event => {
    if ((event.key === "Enter" || event.key === " ") && entry(event)) {
      event.preventDefault();
      choose(entry(event));
    }
  });

  const symbol = new RegExp(SYMBOL, "gu");
  const plain = {"₀": "0", "ₖ": "k"};
  const part = (kind, text, looks) => {
    const element = kind === "tspan" ? document.createElementNS("http://www.w3.org/2000/svg", kind) : document.createElement(kind);
    element.textContent = text;
    Object.entries(looks).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };
  const typeset = (target, inSvg) => {
    const text = target.textContent;
    const found = [...text.matchAll(symbol)];
    if (!found.length) return;
    const pieces = [];
    let end = 0;
    for (const match of found) {
      const [base, below] = [match[1], match[2] ?? plain[match[3]]];
      const slant = letter => ("RpTtk".includes(letter) ? {style: "font-style: italic"} : {});
      pieces.push(text.slice(end, match.index));
      if (inSvg) {
        pieces.push(part("tspan", base, slant(base)));
        pieces.push(part("tspan", below, {...slant(below), dy: "DROP", "font-size": "SMALL"}));
        // This space of no width goes back up to the line.
        pieces.push(part("tspan", "\u200b", {dy: "-DROP", "font-size": "SMALL"}));
      } else {
        pieces.push(part("span", base, slant(base)), part("sub", below, slant(below)));
      }
      end = match.index + match[0].length;
    }
    target.replaceChildren(...pieces, text.slice(end));
  };
  let asked = false;
  const all = () => {
    asked = false;
    document.querySelectorAll("svg.marks text:not(:has(*))").forEach(target => typeset(target, true));
    document.querySelectorAll("#vg-tooltip-element td:not(:has(*))").forEach(target => typeset(target, false));
  };
  const ask = () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(all);
    }
  };
  new MutationObserver(ask).observe(document.documentElement, {subtree: true, childList: true});
  ask();
})();
