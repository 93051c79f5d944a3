"""Draws the architecture diagram: ``python -m docs.architecture_diagram`` writes the two files beside this folder.

Names, time-outs, memory, lifecycles, keys, rights and intervals come from the files that deploy the stack; the text of
each box is here. ``stack.py`` and ``terraform.py`` read those files, ``prices.py`` the price list. ``boxes.py`` and
``foundation.py`` make a box (``box.py``) of everything that they name, with the words of ``texts.py``. ``diagram.py``,
``sequences.py`` and ``pipeline.py`` arrange the boxes in five parts (``parts.py``), ``departures.py`` lists what
differs from the first picture. ``page.py`` writes HTML with ``page.css`` and ``page.js``, ``mermaid.py`` writes
Markdown. Only ``__main__.py`` writes files.
"""
