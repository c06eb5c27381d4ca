"use strict";
// Gives each frame the height of its content. Without this file a frame has a fixed height and scrolls.
// What is in a frame runs nothing: this measures it from outside, and reads nothing else of it.
(() => {
  const TALLEST = 20000;
  for (const frame of document.querySelectorAll("iframe[data-fit]")) {
    let width = 0;
    const fit = () => {
      const inner = frame.contentDocument;
      if (!inner || !inner.body || inner.URL === "about:blank") return;
      const root = inner.documentElement;
      const scrollbar = root.scrollWidth > root.clientWidth ? 20 : 0;
      const height = Math.ceil(root.getBoundingClientRect().height) + scrollbar + 2;
      frame.style.height = `${Math.min(TALLEST, Math.max(24, height))}px`;
      frame.dataset.fit = "done";
    };
    frame.addEventListener("load", fit);
    new ResizeObserver(() => {
      if (frame.clientWidth !== width) {
        width = frame.clientWidth;
        fit();
      }
    }).observe(frame);
    fit();
  }
})();
