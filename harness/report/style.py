"""The style sheet of ``report.html``: light and dark, wide and narrow."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #ddd; --soft: #8881;
  --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #161616; --line: #444; --soft: #8883; --link: #8ab8f0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0; }
main { max-width: 78rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { margin: 0 0 .8rem; font-size: 1.7rem; }
h2 { margin: 1.6rem 0 .4rem; font-size: 1.25rem; }
h3 { margin: 1.2rem 0 .3rem; font-size: 1.05rem; }
p { max-width: 52rem; margin: .5rem 0; }
p, dd { overflow-wrap: anywhere; }
a { color: var(--link); }
.box { border: 1px solid var(--line); border-left: 5px solid #0072B2; background: var(--soft);
  padding: .6rem 1rem; border-radius: 4px; }
.answer { font-size: 1.1rem; font-weight: 600; max-width: none; }
dl { margin: 0; }
dl div { display: grid; grid-template-columns: 7rem 1fr; gap: 0 .8rem; margin: .3rem 0; }
dt { font-weight: 600; opacity: .8; }
dd { margin: 0; grid-column: 2; max-width: 60rem; }
.notices dt { color: #D55E00; opacity: 1; }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .8rem 0; font-size: 13.5px; }
.scroll { overflow: auto; }
details .scroll { max-height: 85vh; }
table { border-collapse: separate; border-spacing: 0; font-size: 13px;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3rem .5rem; font-weight: 600; }
th, td { padding: .2rem .5rem; border-top: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: normal; }
thead th { border-top: 0; border-bottom: 2px solid #888; font-weight: 600; vertical-align: bottom;
  position: sticky; top: 0; background: var(--paper); z-index: 2; }
.exact tbody th { position: sticky; left: 0; background: var(--paper); z-index: 1;
  white-space: nowrap; }
.exact td { white-space: nowrap; }
small { display: block; opacity: .75; }
.wrap td { overflow-wrap: break-word; min-width: 6rem; }
tbody tr:hover > * { background: color-mix(in srgb, var(--paper), #888 12%); }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0;
  text-align: left; cursor: pointer; }
th button::after { content: "\\a0⇅"; opacity: .4; }
th[aria-sort=ascending] button::after { content: "\\a0▲"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\a0▼"; opacity: 1; }
input[type=search] { font: inherit; font-size: 13px; margin: .3rem 0; padding: .15rem .4rem; }
figure { margin: .8rem 0; background: #fff; color: #1c1c1c; padding: .5rem; border-radius: 4px; }
figure svg, figure a img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 13px; padding: .2rem .5rem; }
.pictures img { max-width: 100%; height: auto; display: block; image-rendering: pixelated; }
details { border-top: 1px solid var(--line); }
summary { cursor: pointer; padding: .35rem 0; }
summary h2, summary h3 { display: inline; font-size: 1rem; }
details[open] > summary h2 { font-size: 1.25rem; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; font-size: 12.5px; }
@media (max-width: 40rem) { main { margin: .8rem auto; padding: 0 .6rem; }
  dl div { display: block; } th, td { padding: .2rem .35rem; }
  .exact tbody th { position: static; white-space: normal; } }
@media print { details::details-content { content-visibility: visible; display: block; }
  .scroll { overflow: visible; max-height: none; } }
"""
