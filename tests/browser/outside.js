// Of every banner and what stands in it: what reaches beyond its frame, words that do not fit, and words over other words.
() => {
  const PLACES = '[part=icon], [part=picture], [part=text], [part=viewers], [part=buttons]';
  const ONE_LINE = 56; // a button as high as that has its words in one line
  const wrong = [];
  const name = (element) => `<${element.localName} class="${element.className}" part="${element.part}"> ${element.textContent.trim().slice(0, 60)}`;
  const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 0;
  const box = (element) => element.getBoundingClientRect();
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const beyond = (a, b) => a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1;

  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) wrong.push(`the page is ${scrollWidth} wide`);
  for (const host of document.querySelectorAll('form-lock, form-lock > *')) {
    if (!host.shadowRoot || !seen(host)) continue;
    const frame = host.shadowRoot.querySelector('[part=banner]') ?? host;
    const inner = [...host.shadowRoot.querySelectorAll('*')].filter((element) => seen(element) && !element.closest('svg, slot'));
    for (const element of inner) {
      if (beyond(box(element), box(frame))) wrong.push(`sticks out: ${name(element)}`);
      // (What a finger meets of a link is larger than the link.)
      if (element.clientWidth && !element.matches('.small') && !element.querySelector('.small') && element.scrollWidth > element.clientWidth + 1) wrong.push(`is cut: ${name(element)}`);
      if (element.matches('button:not(.small)') && box(element).height > ONE_LINE) wrong.push(`two lines: ${name(element)}`);
    }
    const places = inner.filter((element) => element.matches(PLACES));
    for (const [at, one] of places.entries()) {
      for (const other of places.slice(at + 1)) if (over(box(one), box(other))) wrong.push(`overlap: ${name(one)}, ${name(other)}`);
    }
  }
  return wrong;
}
