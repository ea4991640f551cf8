"""One-line messages for the errors of jsonargparse."""

import re

# Patterns in jsonargparse's messages, and what they mean for the author of a config.
REASONS = {
    r"Option ('[^']+') is not accepted": r"it has no argument \1",
    r"following arguments are required: (\w+)": r"its argument \1 is missing",
    r"Expected a tuple with (\d+) elements": r"expected \1 values",
}


def one_line(message: str) -> str:
    """Return the key, the value and what was expected, from a message of many lines."""
    text, key = " ".join(message.split()), r'Parser key "([^"]+)":'
    if denied := re.search(r"Importing '([^']+)' is not allowed", text):
        option = ".".join(re.findall(key, text[: denied.start()])) or "an option"
        return (
            f"{option} names {denied[1]}, which is not on the list of what a config "
            "may name: add --trust MODULE to the command if you trust that code"
        )
    text = re.sub(r"- Expected a path but \S+ either not accessible or invalid - ", "", text)
    keys = re.findall(key, text)
    value = re.search(r"(?:Given|Got) value: (.*?)(?:\. Got value: .*)?$", text)
    expected = re.findall(r"Expected a <class '([^']+)'>|Literal(\[[^]]+\])", text)
    if not keys or not value:
        return re.sub(key, r"\1:", text)
    kinds = dict.fromkeys(kind.rpartition(".")[2] or choice for kind, choice in expected)
    kinds.pop("NoneType", None)
    wanted = f"expected {' or '.join(kinds)}" if kinds else "nothing of that name can be used there"
    for pattern, reason in REASONS.items():
        if found := re.search(pattern, text):
            wanted = found.expand(reason)
    given = value[1].partition(" Subclass types expect")[0].partition(" - Expected a ")[0]
    if named := re.search(r"class_path['=: ]+([\w.]+)'", given):
        given = named[1]
    return f"{'.'.join(keys)} cannot be {given}: {wanted}"
