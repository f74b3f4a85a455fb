from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.pins import Pin, pin, pinned, unpin
from charaforge.warehouse.registry import Registry


def test_pins_are_kept_in_files_that_the_registry_does_not_see(warehouse: Warehouse) -> None:
    assert pinned(warehouse) == []
    pin(warehouse, "b@100", "mini-sd")
    pin(warehouse, "a", "mini-sd")
    (warehouse.lora / ".pinned" / "broken.json").write_text("{")
    assert pinned(warehouse) == [Pin("a", "mini-sd"), Pin("b@100", "mini-sd")]
    assert Registry(warehouse).list("lora") == []
    assert unpin(warehouse, "a")
    assert not unpin(warehouse, "a")
    assert pinned(warehouse) == [Pin("b@100", "mini-sd")]
