"""Models from a hub: the only code that downloads, and only when `charaforge models pull` asks for it.

The addresses, the token and the way of asking are those of huggingface_hub (`HF_ENDPOINT`, `HF_TOKEN`). Files
are fetched by ourselves, because what was interrupted shall go on where it stopped, in another process too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from charaforge.errors import ModelFileError, UsageError, WarehouseError
from charaforge.warehouse import cards
from charaforge.warehouse.intake import Place, Wish, completed, record
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.model_files import chosen_files, kind_of

ATTEMPTS = 4
OnBytes = Callable[[int, int], None]
"""Called with (bytes that are there, bytes in all)."""


def pull(warehouse: Warehouse, source: str, wish: Wish, on_bytes: OnBytes) -> Path:
    """Fetch a model into the warehouse; return its folder.

    Called again after an interruption it goes on where it stopped.

    Args:
        warehouse: where to.
        source: `owner/name`, or `owner/name@revision`.
        wish: kind, name, family and files, where they are not to be found out.
        on_bytes: told of progress.

    Raises:
        UsageError: the hub has no such model, file or revision, or its kind cannot be told.
        ModelFileError: it has no safetensors or ONNX files, or a file arrived broken.
        WarehouseError: the hub cannot be reached.
    """
    os.environ["HF_HUB_OFFLINE"] = "0"  # read when huggingface_hub is imported, which nobody did before
    hub_id, _, revision = source.partition("@")
    repository = _Repository(hub_id, revision or "main")
    chosen = chosen_files(repository.sizes, wish.files, hub_id)
    shown = {new: old for old, new in chosen.items()}
    kind, family = kind_of(shown, lambda name: repository.json(shown[name]))
    named = wish.name or (Path(wish.files[0]).stem if len(wish.files) == 1 else hub_id.rpartition("/")[2])
    told = completed(wish, kind, family, named, hub_id)
    place = Place(warehouse, told, f".{repository.commit[:12]}")
    total, done = sum(repository.sizes[old] for old in chosen), 0
    for old, new in chosen.items():
        target = place.staging / place.file_name(new)
        repository.fetch(old, target, lambda here, before=done: on_bytes(before + here, total))  # type: ignore[misc]
        done += repository.sizes[old]
    card = {"license": repository.license} if repository.license else {}
    return place.finish(card, {"hub": hub_id, "revision": repository.commit, "asked": revision or "main"})


class _Repository:
    """One revision of a model on the hub.

    Args:
        hub_id: `owner/name`.
        revision: branch, tag or commit.
    """

    def __init__(self, hub_id: str, revision: str) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

        self._id = hub_id
        try:
            told = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
        except HFValidationError as error:
            raise UsageError(f"{hub_id!r} is no id of a model", "it has the form owner/name") from error
        except (httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
            raise _explained(hub_id, revision, error) from error
        siblings = told.siblings or []
        self.commit = str(told.sha)
        self.sizes = {file.rfilename: int(file.size or 0) for file in siblings}
        self._sha256 = {file.rfilename: file.lfs.sha256 for file in siblings if file.lfs}
        self.license = str(getattr(told.card_data, "license", None) or "")
        self._client = httpx2.Client(follow_redirects=True, timeout=60.0)  # drops the token on other hosts

    def json(self, name: str) -> dict[str, Any]:
        """Return a small JSON file of the repository."""
        try:
            return dict(json.loads(b"".join(self._bytes(name, 0)[1])))
        except ValueError as error:
            raise ModelFileError(
                f"{name} of {self._id} is no JSON object: {error}", "choose another model"
            ) from error

    def fetch(self, name: str, target: Path, on_bytes: Callable[[int], None]) -> None:
        """Fetch one file, from where an earlier attempt stopped, and check it."""
        if target.is_file() and self._is_right(name, target):
            return
        part = target.with_name(f"{target.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(ATTEMPTS)):
            try:
                self._append(name, part, on_bytes)
                break
            except ConnectionError as error:
                if not left:
                    raise WarehouseError(
                        f"the connection broke {ATTEMPTS} times while {name} was fetched: {error}",
                        "run the command again; it goes on where it stopped",
                    ) from error
        if not self._is_right(name, part):
            part.unlink()
            raise ModelFileError(f"{name} of {self._id} arrived broken", "run the command again")
        if name.endswith(".safetensors"):
            cards.safetensors_metadata(part)
        part.replace(target)

    def _append(self, name: str, part: Path, on_bytes: Callable[[int], None]) -> None:
        here = part.stat().st_size if part.is_file() else 0
        if here and here >= self.sizes[name]:
            return
        resumed, chunks = self._bytes(name, here)
        with part.open("ab" if resumed else "wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                on_bytes(stream.tell())

    def _bytes(self, name: str, start: int) -> tuple[bool, Iterator[bytes]]:
        """Return whether the hub begins at `start`, and the chunks of a file from there on."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers

        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={start}-"} if start else {}
        request = self._client.build_request(
            "GET", hf_hub_url(self._id, name, revision=self.commit), headers=headers
        )
        try:
            answer = self._client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise _unreachable(error) from error
        if answer.status_code not in (200, 206):
            answer.close()
            raise WarehouseError(
                f"the hub answers {answer.status_code} to {name} of {self._id}", "run the command again later"
            )
        return answer.status_code == 206, _chunks(answer)

    def _is_right(self, name: str, file: Path) -> bool:
        known = self._sha256.get(name)
        told = record(file)
        return told["size"] == self.sizes[name] and known in (None, told["sha256"])


def _chunks(answer: httpx2.Response) -> Iterator[bytes]:
    """Yield the body of an answer.

    Raises:
        ConnectionError: the connection broke.
    """
    try:
        yield from answer.iter_raw()  # as it comes: what waits to fill a chunk would be lost
    except httpx2.HTTPError as error:
        raise ConnectionError(str(error)) from error
    finally:
        answer.close()


def _explained(hub_id: str, revision: str, error: Exception) -> Exception:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return UsageError(f"{hub_id} has no revision {revision!r}", "give a branch, a tag or a commit")
    if isinstance(error, GatedRepoError):
        return UsageError(f"{hub_id} asks for agreement first", "agree on its page, and set HF_TOKEN")
    if isinstance(error, RepositoryNotFoundError):
        return UsageError(
            f"the hub has no model {hub_id!r}", "check owner and name; a private one needs HF_TOKEN"
        )
    return _unreachable(error)


def _unreachable(error: Exception) -> WarehouseError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return WarehouseError(f"the hub cannot be reached: {reason}", "check the network, or HF_ENDPOINT")
