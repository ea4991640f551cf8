"""The help of training: what it says is what would be trained."""

import re

import pytest
import yaml

from sinrnn.cli.train import main
from sinrnn.filesystem import CONFIGS


@pytest.fixture
def helped(tmp_path, monkeypatch, capsys):
    """The help that arguments ask for: its text, and the value of each option."""
    monkeypatch.chdir(tmp_path)

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main(list(args))
        out, err = capsys.readouterr()
        assert (stop.value.code, err) == (0, "")
        return out, dict(re.findall(r"^  --(\S+) (.*)$", out, re.MULTILINE))

    return call


def values(content, section=""):
    """The values of a config by the option that sets them, as they are typed."""
    for name, value in content.items():
        option = section if name in ("class_path", "init_args") else f"{section}.{name}".strip(".")
        if isinstance(value, dict):
            yield from values(value, option)
        elif isinstance(value, list) and isinstance(value[0], dict):
            yield option, f"[{','.join(each['class_path'] for each in value)}]"
        else:
            yield option, yaml.safe_dump(value, default_flow_style=True).split("\n")[0]


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_values_are_those_of_the_config_that_is_loaded(helped, name):
    _, found = helped("--config", f"configs/{name}.yaml", "--help")
    _, trainer = helped("--config", f"configs/{name}.yaml", "--help", "trainer")
    wanted = dict(values(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())))
    assert len(wanted) > 15
    for option, value in wanted.items():
        said = (trainer if option.startswith("trainer.") else found)[option]
        same = yaml.safe_load(said) == yaml.safe_load(value)
        assert same or float(said) == float(value), option  # YAML takes 5e-05 for text


def test_arguments_take_the_place_of_values(helped):
    _, found = helped("--data.window", "9", "-h", "--model.optimizer", "Adam")
    assert (found["data.window"], found["model.optimizer"]) == ("9", "torch.optim.Adam")
    assert found["config"] == "configs/sine.yaml"


def test_own_options_come_first_and_no_line_is_too_wide(helped):
    text, found = helped("--help")
    sections = [option.partition(".")[0] for option in found]
    assert sections[:2] == ["config", "seed_everything"]
    assert list(dict.fromkeys(s for s in sections if f"{s}.max_epochs" in found)) == [sections[-1]]
    assert text.count("\n") < 200
    wide = [line for line in text.split("\n")[2:] if len(line) > 79]
    assert not wide


def test_section_is_helped_by_itself_or_refused(helped, refused):
    text, found = helped("--help", "trainer")
    assert {option.partition(".")[0] for option in found} == {"trainer"}
    assert found["trainer.log_every_n_steps"] == "null"
    assert "Stop training once this number of epochs is reached." in text
    said = "--help takes data, model, monitor, trainer or nothing, got optimizer"
    assert refused("--help", "optimizer") == said
