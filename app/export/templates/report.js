"use strict";
// Folded parts are open on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

(async () => {
  const { charts, config } = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  for (const place of document.querySelectorAll("[data-chart]")) {
    // The policy of the page forbids code that is made from text: `ast` interprets expressions instead.
    const options = { mode: "vega-lite", actions: false, renderer: "svg", ast: true, config, tooltip: { theme: dark.matches ? "dark" : "light" } };
    const spec = { ...charts[Number(place.dataset.chart)], width: "container", background: null };
    try {
      await vegaEmbed(place, spec, options);
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    }
  }
  document.body.dataset.drawn = "true";
})();
