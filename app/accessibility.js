// What Streamlit and Vega leave out for readers without a mouse or without sight.
(() => {
  if (window.ticketscopeAccessibility) return;
  window.ticketscopeAccessibility = true;
  let asked = false;
  const fit = () => {
    asked = false;
    // The keyboard scrolls what has the focus: a table that is wider than the page takes it.
    document.querySelectorAll("[data-testid=stTable], [data-testid=stTable] div").forEach(box => {
      const scrolls = box.scrollWidth > box.clientWidth && /auto|scroll/.test(getComputedStyle(box).overflowX);
      if (scrolls && box.tabIndex < 0) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", "Table, scrolls sideways");
      } else if (!scrolls && box.getAttribute("aria-label") === "Table, scrolls sideways") {
        ["tabindex", "role", "aria-label"].forEach(name => box.removeAttribute(name));
      }
    });
    // Streamlit names the place of an upload and calls it presentation, which has no name.
    document.querySelectorAll("[data-testid=stFileUploaderDropzone]").forEach(box => box.setAttribute("role", "group"));
    // The rectangle that a mouse draws has the role of a picture and no name; the chart as a whole has a text.
    document.querySelectorAll("g[class*=brush_brush]").forEach(mark => mark.setAttribute("aria-hidden", "true"));
  };
  const ask = () => {
    if (!asked) requestAnimationFrame(fit);
    asked = true;
  };
  new MutationObserver(ask).observe(document.body, {childList: true, subtree: true});
  addEventListener("resize", ask);
  ask();
})();
