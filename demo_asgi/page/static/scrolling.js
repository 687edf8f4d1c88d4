// What is cut off fades out at that edge, so that it shows that it scrolls.

export function showScrolling(box) {
  const mark = () => {
    box.classList.toggle("more-right", box.scrollWidth - box.clientWidth - Math.ceil(box.scrollLeft) > 1);
    box.classList.toggle("more-below", box.scrollHeight - box.clientHeight - Math.ceil(box.scrollTop) > 1);
  };
  box.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(box);
  new MutationObserver(mark).observe(box, { childList: true, characterData: true, subtree: true });
}
