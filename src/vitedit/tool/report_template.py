"""The page of a patch, as a Jinja template; its style is that of a run's page."""

CARDS = """
.facts td { white-space: normal; overflow-wrap: anywhere; }
.cards { display: flex; flex-wrap: wrap; align-items: flex-start; gap: .75rem; }
.card { background: var(--card); border: 1px solid var(--line); border-top: .3rem solid var(--bad); border-radius: .5rem;
  padding: .5rem; width: 11rem; font-size: .85rem; overflow-wrap: anywhere; }
.card.fine { border-top-color: var(--good); }
.card img { display: block; width: 100%; border-radius: .3rem; margin-bottom: .4rem; }
.card p { margin: .1rem 0; }
"""

TEMPLATE = """{% macro table(rows) %}<div class="wide"><table>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endmacro %}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Patch of {{ title }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<header>
<h1>One edit of a Vision Transformer{% if failures > 1 %} from {{ failures }} failures{% endif %}</h1>
<p class="lead">{{ title }}</p>
</header>
<main>
<h2>The edit</h2>
<div class="wide"><table class="facts"><tbody>
{% for name, value in facts %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
{% for rows in samples %}{{ table(rows) }}
{% endfor %}{% for section in sections %}<h2>{{ section.title }}</h2>
<p class="quiet">{{ section.words }}</p>
<div class="cards">
{% for card in section.cards %}<div class="card{{ ' fine' if card.fine else '' }}">
<img src="data:image/jpeg;base64,{{ card.picture }}" alt="{{ card.name }}" loading="lazy">
<p class="quiet">{{ card.name }}</p>
{% if card.right %}<p>right class: {{ card.right }}</p>
{% endif %}<p>before: {{ card.before }}</p>
<p>after: {{ card.after }} {{ '✓' if card.fine else '✗' }}</p></div>
{% endfor %}</div>
{% if section.left_out %}<p class="quiet">{{ section.left_out }} more are not shown.</p>{% endif %}
{% else %}<p class="quiet">No picture is shown. Give <code>vitedit report</code> the samples (<code>--image FILE</code> or
<code>--failures FILE.csv</code>), their <code>--neighbours</code> or other images (<code>--locality DIR</code>).</p>
{% endfor %}<h2>Where the weights changed</h2>
{{ table(where) }}
</main>
<footer class="quiet">Made by vitedit.</footer>
</body>
</html>
"""
