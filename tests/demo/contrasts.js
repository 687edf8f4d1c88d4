// Return each visible text and its contrast (WCAG 2.2, relative luminance).
() => {
  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [red, green, blue] = parts(color).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const isClear = (color) => color === "transparent" || parts(color)[3] === 0;
  const behind = (element) => {
    while (element.parentElement && isClear(getComputedStyle(element).backgroundColor)) element = element.parentElement;
    return getComputedStyle(element).backgroundColor;
  };
  const contrast = (element) => {
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [dark, light] = [luminance(ink), luminance(behind(element))].sort((one, other) => one - other);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const { parentElement, textContent } = texts.currentNode;
    if (textContent.trim() && parentElement.checkVisibility() && !/^(script|option|noscript)$/i.test(parentElement.tagName)) {
      found.push([contrast(parentElement), textContent.trim()]);
    }
  }
  return found;
}
