"""What is installed is pinned, for a reason, and the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
GROUPS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
PINNED = [line for group in GROUPS.values() for line in group if not line.startswith(PROJECT["name"])]

# all that the project will ever have; .env.example offers those that have an effect today
SETTINGS = (
    *(
        "AI_CACHE_ROOT",
        "CUDA_VISIBLE_DEVICES",
        "DEFAULT_MODEL",
        "MODEL_DTYPE",
        "MODEL_MEMORY_GB",
        "REDIS_URL",
        "BATCH_MAX_ITEMS",
    ),
    *("API_CORS_ORIGINS", "API_TOKEN", "API_ALLOWED_HOSTS", "API_INPUT_ROOTS", "API_SDAPI", "API_SAFETY"),
    *("CHARAFORGE_API_URL", "LOG_FORMAT", "REDIS_PASSWORD"),
)


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonical(name): version for name, version in pairs}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("line", PINNED)
def test_a_dependency_is_pinned_as_in_the_lock_and_has_a_reason(line: str) -> None:
    name, _, version = line.partition("==")
    assert constraints()[canonical(name)] == version
    assert re.search(rf'"{re.escape(line)}",\s+# \w+', TEXT), "say why it is needed"


def test_torch_is_taken_as_the_index_has_it() -> None:
    assert "+" not in constraints()["torch"]


def test_all_leaves_only_dev_and_mediapipe_out() -> None:
    parts = re.findall(r"[a-z]+", PROJECT["optional-dependencies"]["all"][0].partition("[")[2])
    nested = {
        part for part in parts if any(f"[{part}]" in line for group in GROUPS.values() for line in group)
    }
    assert set(GROUPS) - {"", "all", "dev", "engine", "mediapipe"} == set(parts) - nested
    assert f"{PROJECT['name']}[engine]" in PROJECT["optional-dependencies"]["train"]


def test_settings_are_offered_exactly_where_they_are_read(repository: Path) -> None:
    example = (repository / ".env.example").read_text(encoding="utf-8")
    offered = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", example, re.MULTILINE))
    sources = [path for room in ("charaforge", "backend") for path in (repository / room).rglob("*.py")]
    sources.append(repository / "docker-compose.yml")
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    read = {name for name in SETTINGS if re.search(rf"\b{name}\b", code, re.IGNORECASE)}
    assert offered == read
