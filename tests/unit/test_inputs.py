"""What the page calls inputs that are no images."""

from l2study.report.inputs import reworded

PAGE = """<img alt="images" src="data:image/svg+xml;base64,aW1hZ2U=">
<script>const image = "images";</script><style>.image {}</style>
<p class="image">Images: an image, p <0.01 for these images > 0, variance_images;
every pixel, pixels of MNIST, the scope seeds and images, ![an image](figures/image.png)</p>"""


def test_only_words_of_the_text_change_and_only_where_inputs_are_no_images():
    assert reworded(PAGE, {"shape": [28, 28]}) == reworded(PAGE, {}) == PAGE
    expected = PAGE.replace("Images: an image, p", "Rows: a row, p")
    expected = expected.replace("these images >", "these rows >").replace("![an image]", "![a row]")
    assert reworded(PAGE, {"shape": [30]}) == expected.replace("every pixel", "every number")
