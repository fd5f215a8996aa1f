"use strict";
// What is folded on a screen is open on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

(async () => {
  const { charts, config } = JSON.parse(document.getElementById("charts").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  for (const place of document.querySelectorAll("[data-chart]")) {
    // Without code made from text, which the page's own rules forbid.
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
