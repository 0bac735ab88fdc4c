"""What --help says of the settings is what the configuration classes have."""

import dataclasses
import subprocess
import sys

import pytest

from synvita.cli.settings_help import CLASSES, settings_help, settings_of
from synvita.core.settings import convert
from synvita.evaluate.config import EvaluateConfig
from synvita.generate.clips import GenerateConfig
from synvita.train.config import TrainConfig
from synvita.weigh.config import WeighConfig
from synvita.world.dataset import WorldConfig

KINDS = {"world": WorldConfig, "generate": GenerateConfig, "weigh": WeighConfig, "train": TrainConfig,
         "evaluate": EvaluateConfig}  # fmt: skip


@pytest.mark.parametrize("section", CLASSES)
def test_every_setting_is_there_with_its_default_and_a_line_of_its_own(section):
    fields = dataclasses.fields(KINDS[section])
    told = settings_of(section)
    assert [s.flag for s in told] == [f"--{section}.{f.name.replace('_', '-')}" for f in fields]
    for setting, field in zip(told, fields, strict=True):
        assert 5 < len(setting.text) < 130 and "\n" not in setting.text
        if field.default is dataclasses.MISSING:
            assert setting.default == "see synvita config"
        elif isinstance(field.default, bool):
            assert setting.default == str(field.default).lower()
        elif isinstance(field.default, (int, float)):
            assert convert(type(field.default), type(field.default)(setting.default), "x") == field.default
        elif isinstance(field.default, tuple):
            assert setting.default == (",".join(field.default) or "none")
        else:
            assert setting.default == (field.default or "none")


def test_help_shows_the_stages_settings_without_importing_torch():
    code = (
        "import sys\nfrom synvita.cli.parser import parser\n"
        "try:\n    parser().parse_args(['weigh', '--help'])\nfinally:\n    assert 'torch' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "--weigh.criteria" in shown.stdout and "(difference)" in shown.stdout and "--train.rate" not in shown.stdout
    assert settings_help("status") == ""
