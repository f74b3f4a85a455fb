import socket

import pytest


def test_unit_tests_cannot_connect_even_to_this_machine() -> None:
    with socket.socket() as caller, pytest.raises(AssertionError, match="must not connect"):
        caller.connect(("127.0.0.1", 9))


@pytest.mark.launch
def test_other_tests_reach_this_machine_but_no_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    with socket.socket() as caller, pytest.raises(AssertionError, match="must not connect"):
        caller.connect(("192.0.2.1", 80))
