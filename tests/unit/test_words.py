from words import page_text, words

PAGE = """<html><head><title>not this</title><style>p { }</style></head><body>
<nav class="above">Contents</nav><nav class="beside">Contents</nav>
<p>Two words<br>and three more</p>
<details><summary>Unfold me</summary>hidden <p>within <b>it</b></p>
<details><summary>Deeper</summary><p>still</p></details></details>
<details class="code"><summary>Code</summary><pre>x = 1</pre></details>
<p hidden>unseen</p><script>var x;</script><p>The end</p></body></html>"""


def test_a_word_has_a_letter_or_a_digit():
    assert words("| a | --- | 1.5 (1 to 2) |\n") == 5
    assert words("| --- |") == words("") == 0


def test_what_is_folded_is_read_only_once_it_is_unfolded():
    folded, unfolded = (" ".join(page_text(PAGE, unfold).split()) for unfold in (False, True))
    begin = "Contents Two words and three more Unfold me"
    assert folded == f"{begin} The end"
    assert unfolded == f"{begin} hidden within it Deeper still The end"
