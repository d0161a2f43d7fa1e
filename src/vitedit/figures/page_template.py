"""The page of a run, as a Jinja template. A Python module, not a file of its own, so that a change of it reruns the page."""

STYLE = """
:root { color-scheme: light dark; --text: #1c2126; --quiet: #5b6570; --ground: #fbfbfa; --card: #ffffff; --line: #dfe3e6;
  --accent: #0072b2; --good: #00734f; --bad: #b34700; --open: #6b6f75; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --quiet: #a2abb4; --ground: #14171a; --card: #1d2125;
  --line: #343a40; --accent: #6cb8e6; --good: #4cc59a; --bad: #f09a5c; --open: #a9aeb4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.6 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 64rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3rem; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; margin: 0 0 .5rem; text-wrap: balance; }
h2 { font-size: 1.35rem; margin: 3rem 0 .75rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 0 0 .35rem; }
p { max-width: 46rem; margin: .5rem 0; }
a { color: var(--accent); }
.quiet, figcaption, .meta { color: var(--quiet); }
.lead { font-size: 1.1rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin: 1.25rem 0 0; font-size: .95rem; }
.numbers td, .numbers th { padding: .35rem .5rem; }
.numbers td span { color: var(--quiet); font-size: .82rem; }
.claim { background: var(--card); border: 1px solid var(--line); border-left: .35rem solid var(--open); border-radius: .5rem;
  padding: .7rem 1rem; margin: .7rem 0; }
.claim p { max-width: none; margin: .2rem 0; }
.claim .measured { font-size: .92rem; color: var(--quiet); }
.verdict { font-weight: 650; color: var(--open); }
.claim.reproduced { border-left-color: var(--good); } .reproduced .verdict { color: var(--good); }
.claim.not-reproduced { border-left-color: var(--bad); } .not-reproduced .verdict { color: var(--bad); }
figure { margin: 2rem 0; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; padding: .5rem; }
figcaption { font-size: .92rem; max-width: 50rem; margin-top: .5rem; }
.wide { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
th { font-weight: 600; color: var(--quiet); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--accent); }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem; font-size: .82rem; line-height: 1.45; }
th button { all: unset; cursor: pointer; font: inherit; } th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort="ascending"] button::after { content: " \2191"; } th[aria-sort="descending"] button::after { content: " \2193"; }
#choose { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; } #choose label { max-width: 100%; }
select { font: inherit; max-width: 100%; color: inherit; background: var(--card); border: 1px solid var(--line); }
#shown h3 { margin-top: 1.25rem; }
.strip { display: flex; flex-wrap: wrap; gap: .75rem; }
.strip figure { width: 8.5rem; margin: 0; border: 2px solid var(--good); border-radius: .5rem; padding: .3rem; }
.strip figure.bad { border-color: var(--bad); }
.strip img { border: 0; padding: 0; aspect-ratio: 1; image-rendering: pixelated; }
.strip figcaption { font-size: .78rem; line-height: 1.3; overflow-wrap: anywhere; } .strip figcaption * { display: block; }
.good .after { color: var(--good); } .bad .after { color: var(--bad); }
footer { padding: 2rem 1.25rem 4rem; }
"""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Where to edit Vision Transformers: run {{ run }}</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>Learning where to edit Vision Transformers, replicated</h1>
<p class="lead">Run <strong>{{ run }}</strong>: {{ counts }}</p>
{% if note %}<p class="lead">{{ note }}</p>{% endif %}
<p>A Vision Transformer that errs on one image is corrected by changing a few of its weights. A hypernetwork looks at the image
and predicts where to change: a mask over the hidden units of a few layers. Gradient descent says how. A good edit also corrects
other images with the same kind of error (generalization) and changes nothing else (locality). The method is from
“Learning Where to Edit Vision Transformers” (Yang et al., NeurIPS 2024, arXiv 2411.01948); everything on this page was
computed by this run, but for ablations that say “released”.</p>
<nav><a href="#claims">Claims</a><a href="#numbers">Numbers</a>
{% if gallery %}<a href="#gallery">Edits</a>{% endif %}<a href="#figures">Figures</a>
<a href="#tables">Tables</a><a href="#notebooks">Notebooks</a>
<a href="#times">Times</a><a href="#provenance">Provenance</a></nav>
</header>
<main>
<h2 id="claims">What the paper claims, what was measured</h2>
<p class="quiet">A verdict needs intervals that exclude “no difference”; everything else is undecided.</p>
{% for title, counts in verdicts.items() %}<p><strong>{{ title }}: {{ counts }}.</strong></p>
{% endfor %}{% for claim in claims %}<div class="claim {{ claim.verdict | replace(' ', '-') }}">
<p><span class="verdict">{{ claim.verdict }}</span> · {{ claim.source }}, {{ claim.backbone }}</p>
<p>{{ claim.statement }}</p><p class="measured">{{ claim.measured }} <b>Paper:</b> {{ claim.paper }}</p></div>
{% else %}<p>This run measured nothing that tests a claim.</p>
{% endfor %}
<h2 id="numbers">Headline numbers</h2>
<p class="quiet">Means over all groups with 95 % intervals over groups. Of a method with several settings, the one with the
highest harmonic mean of generalization and locality over all groups, chosen in the same way for every method and on the very
groups that it is shown for; all settings are in the figures and tables below. Weights: share of the
backbone that an edit changes.</p>
<div class="wide"><table class="numbers sorts"><thead><tr><th>Method</th><th>Setting</th><th>Success</th><th>Generalization</th>
<th>Locality</th><th>Weights</th></tr></thead><tbody>
{% for card in cards %}<tr><td>{{ card.title }}</td><td class="quiet">{{ card.setting }}</td>
<td><b>{{ card.sr[0] }}</b> <span>{{ card.sr[1] }}</span></td><td><b>{{ card.gr[0] }}</b> <span>{{ card.gr[1] }}</span></td>
<td><b>{{ card.lr[0] }}</b> <span>{{ card.lr[1] }}</span></td><td>{{ card.weights }}</td></tr>
{% endfor %}</tbody></table></div>
{% if gallery %}<h2 id="gallery">Edits to look at</h2>
<p class="quiet">What one edit did: a green frame and ✓ where the prediction after it is right, a red frame and ✗ where it is
wrong. Of the locality set only images whose prediction flipped are shown; none should.</p>
<noscript><p>Choosing an edit needs JavaScript. The figures below show images of every group.</p></noscript>
<form id="choose"></form><div id="shown"></div>
<script type="application/json" id="edits-data">{{ gallery | safe }}</script>
{% endif %}<h2 id="figures">Figures</h2>
{% for figure in figures %}<figure id="{{ figure.name }}"><h3>{{ figure.title }}</h3>
<a href="figures/{{ figure.name }}.png">
<img src="data:image/png;base64,{{ figure.png }}" alt="{{ figure.caption }}" loading="lazy"></a>
<figcaption>{{ figure.caption }} {{ figure.behind }}
<span class="meta">{% for ending in endings %}<a href="figures/{{ figure.name }}.{{ ending }}">{{ ending | upper }}</a> ·
{% endfor %}
<a href="notebooks/{{ figure.notebook }}.html">notebook</a></span></figcaption>
</figure>
{% endfor %}
<h2 id="tables">Tables</h2>
{% for table in shown %}<details><summary>{{ table.title }}</summary>
<div class="wide"><table class="sorts"><thead><tr>
{% for column in table.columns %}<th>{{ column }}</th>{% endfor %}</tr></thead><tbody>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div></details>
{% endfor %}
<dl class="quiet">{% for column, meaning in explained.items() %}<dt>{{ column }}</dt><dd>{{ meaning }}</dd>
{% endfor %}</dl>
<p>All tables as files:
{% for name, endings in files.items() %}{{ name }} (
{%- for ending in endings %}<a href="tables/{{ name }}.{{ ending }}">{{ ending }}</a>{{ ', ' if not loop.last }}{% endfor -%}
){{ '; ' if not loop.last else '.' }}
{% endfor %}</p>
<h2 id="notebooks">Notebooks</h2>
<ul>
{% for notebook in notebooks %}<li><a href="notebooks/{{ notebook }}.html">{{ notebook }}</a>
(<a href="notebooks/{{ notebook }}.ipynb">ipynb</a>)</li>
{% endfor %}</ul>
<h2 id="times">Time and memory</h2>
{% if timings %}<div class="wide"><table class="sorts">
<thead><tr><th>Stage</th><th>Jobs</th><th>Seconds in all</th><th>Longest job, seconds</th>
<th>Most memory, MiB</th></tr></thead><tbody>
{% for timing in timings %}<tr><td>{{ timing.stage }}</td><td>{{ timing.jobs }}</td><td>{{ '%.1f' | format(timing.seconds) }}</td>
<td>{{ '%.1f' | format(timing.longest) }}</td>
<td>{{ '%.0f' | format(timing.memory) if timing.memory == timing.memory else 'not measured' }}</td></tr>
{% endfor %}</tbody></table></div>
<p class="quiet">Seconds from start to end of each job. Over all jobs, those of ablations included, they add up to
{{ '%.1f' | format(minutes) }} minutes;
the run itself took less where jobs ran side by side.</p>
{% else %}<p>Times are recorded when Snakemake runs the stages.</p>{% endif %}
<h2 id="provenance">Provenance</h2>
<div class="wide"><table><tbody>
{% for name, value in provenance.items() %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
{% if inputs %}<h3>Inputs</h3>
<div class="wide"><table class="sorts"><thead><tr><th>Path</th><th>MB</th><th>SHA-256</th><th>of</th></tr></thead><tbody>
{% for row in inputs %}<tr><td>{{ row.path }}</td><td>{{ '%.1f' | format(row.bytes / 1e6) }}</td><td>{{ row.sha256 }}</td>
<td>{{ row.of }}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}
<details><summary>Configuration of this run</summary><pre>{{ configuration }}</pre></details>
</main>
<footer class="quiet">Made by vitedit {{ version }}.</footer>
<script type="text/javascript">{{ script | safe }}</script>
</body>
</html>
"""
