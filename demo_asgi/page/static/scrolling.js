// Content that is cut off fades out at that edge, so that users see that they can scroll.

export function showScrolling(box) {
  const mark = () => {
    box.classList.toggle("more-right", box.scrollWidth - box.clientWidth - Math.ceil(box.scrollLeft) > 1);
    box.classList.toggle("more-below", box.scrollHeight - box.clientHeight - Math.ceil(box.scrollTop) > 1);
  };
  box.addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(box);
  new MutationObserver(mark).observe(box, { childList: true, characterData: true, subtree: true });
}
