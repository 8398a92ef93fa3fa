"""Every public name of guidance has an example, and those that can run do what they say."""

import doctest
import inspect
import re

import pytest

from diffusionlm import guidance


def code_of_pages(root):
    """The Python of the documentation's pages."""
    pages = "\n".join(page.read_text() for page in sorted((root / "docs").glob("*.md")))
    return "\n".join(re.findall(r"```python\n(.*?)```", pages, re.DOTALL))


@pytest.mark.parametrize("name", guidance.__all__)
def test_a_public_name_has_an_example_that_holds(name, root):
    thing = getattr(guidance, name)
    space = {key: getattr(guidance, key) for key in guidance.__all__}
    examples = doctest.DocTestParser().get_doctest(inspect.getdoc(thing) or "", space, name, None, None)
    assert examples.examples or re.search(rf"\b{name}\b", code_of_pages(root))
    said = []
    doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS).run(examples, out=said.append)
    assert said == []
