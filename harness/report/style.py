"""The style sheet of ``report.html``: light and dark, wide and narrow."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #ddd; --soft: #8881; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --paper: #161616; --line: #444; --soft: #8883; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0; }
main { max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
p { max-width: 46rem; overflow-wrap: anywhere; }
.facts { opacity: .75; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
thead th { border-bottom: 2px solid #888; white-space: nowrap; }
.exact td { white-space: nowrap; }
.wrap td { overflow-wrap: break-word; min-width: 6rem; }
tbody tr:hover { background: var(--soft); }
.warn { border-left: 4px solid #D55E00; padding: .4rem .8rem; background: #d55e0018; }
figure { margin: 1.2rem 0; background: #fff; color: #1c1c1c; padding: .5rem; border-radius: 4px; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 13px; padding: .2rem .5rem; }
.pictures img { max-width: 100%; height: auto; display: block; image-rendering: pixelated; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; margin-bottom: .5rem; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; font-size: 12.5px; }
@media (max-width: 40rem) { main { margin: 1rem auto; padding: 0 .6rem; }
  th, td { padding: .25rem .45rem; } }
@media print { details > * { display: block; } .scroll { overflow: visible; } }
"""
